"""Key figures of a service: night flow, water balance, leakage index, the indicators that the law asks for, money.

`night`, `balance`, `losses`, `sispea`, `directive`, `leaks` and `money` are pure functions; `gather` takes them to a
site, with `given`, `places`, `pressure`, `place` and `service`; `words` and `export` show. Formulas, units,
thresholds and sources: ``docs/kpi.md``.
"""
