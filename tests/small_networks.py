"""Small networks drawn by hand, one for every kind of link, in any of EPANET's units and formulas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from leakdetect.epanet import load_network
from leakdetect.network import Network

US = ("GPM", "CFS", "MGD", "IMGD", "AFD")
_FLOW = {  # of 1 L/s
    "LPS": 1.0, "LPM": 60.0, "CMH": 3.6, "CMD": 86.4, "MLD": 0.0864,
    "GPM": 15.850323, "CFS": 0.0353146667, "MGD": 0.0228244653, "IMGD": 0.0190053431, "AFD": 0.0700456,
}  # fmt: skip
_FOOT, _INCH, _PSI = 0.3048, 25.4, 0.3048 / 0.4333  # EPANET's own m of water in a psi
ROUGH = {"H-W": (110.0, 130.0), "D-W": (0.5, 0.05), "C-M": (0.013, 0.010)}  # -, mm, -


class Units:
    """Turns m, mm and L/s into what a file of one flow unit writes."""

    def __init__(self, flow: str) -> None:
        self.flow_name, self.us = flow, flow in US

    def flow(self, litres: float) -> float:
        return litres * _FLOW[self.flow_name]

    def length(self, metres: float) -> float:
        return metres / _FOOT if self.us else metres

    def diameter(self, millimetres: float) -> float:
        return millimetres / _INCH if self.us else millimetres

    def pressure(self, metres: float) -> float:
        return metres / _PSI if self.us else metres

    def roughness(self, value: float, formula: str) -> float:
        return value / _FOOT if self.us and formula == "D-W" else value  # D-W: mm or thousandths of a foot


def device_line(device: str, u: Units) -> dict[str, str]:
    """Return the lines of a device from J2 to J3, by section."""
    d = f"{u.diameter(150):.6f}"
    valves = {
        "PRV": u.pressure(30),
        "PRV open": u.pressure(70),
        "PSV": u.pressure(50),
        "PSV open": u.pressure(10),
        "FCV": u.flow(9),
        "FCV open": u.flow(90),
        "TCV": 40,
        "PBV": u.pressure(6),
    }
    if device in valves:
        return {"VALVES": f"D J2 J3 {d} {device[:3]} {valves[device]:.8f} 2.5"}
    if device == "GPV":
        points = "\n".join(f"G {u.flow(q):.6f} {u.length(h):.6f}" for q, h in ((0, 0), (5, 1), (20, 9), (60, 60)))
        return {"VALVES": f"D J2 J3 {d} GPV G 0", "CURVES": points}
    curves = {
        "pump 1 point": [(20, 15)],
        "pump 3 points": [(0, 20), (20, 15), (40, 4)],
        "pump by segments": [(0, 20), (10, 18), (20, 15), (30, 10), (40, 4)],
    }
    if device in curves:
        points = "\n".join(f"C {u.flow(q):.6f} {u.length(h):.6f}" for q, h in curves[device])
        return {"PUMPS": "D J2 J3 HEAD C SPEED 0.95", "CURVES": points}
    if device == "pump of power":
        return {"PUMPS": f"D J2 J3 POWER {2.0 / 0.7457 if u.us else 2.0:.6f}"}
    ends = {"pipe": "J2 J3", "check valve": "J2 J3", "check valve shut": "J3 J2"}[device]
    rough = "{rough}"
    return {"PIPES": f"D {ends} {u.length(50):.6f} {d} {rough} 1.2 {'Open' if device == 'pipe' else 'CV'}"}


DEVICES = (
    "pipe", "check valve", "check valve shut", "PRV", "PRV open", "PSV", "PSV open", "FCV", "FCV open", "TCV", "PBV",
    "GPV", "pump 1 point", "pump 3 points", "pump by segments", "pump of power",
)  # fmt: skip


def text(device: str = "pipe", flow: str = "LPS", formula: str = "H-W", extra: Mapping[str, str] | None = None) -> str:
    """Return a model file: a reservoir, three streets, the device, four streets in a loop, and a tank.

    ::

        R --P1-- J1 --P2-- J2 ==D== J3 --P3-- J4 --P7-- T
                 |                  |         |
                 +--P8-- J7         P4        P5
                                    |         |
                                    J5 --P6-- J6
    """
    u = Units(flow)
    rough, smooth = (u.roughness(r, formula) for r in ROUGH[formula])
    lines: dict[str, list[str]] = {s: [] for s in ("JUNCTIONS", "RESERVOIRS", "TANKS", "PIPES", "PUMPS", "VALVES")}
    for name, elevation, demand in (
        ("J1", 5, 2), ("J2", 4, 3), ("J3", 6, 2), ("J4", 8, 4), ("J5", 3, 5), ("J6", 7, 3), ("J7", 9, 2),
    ):  # fmt: skip
        lines["JUNCTIONS"].append(f"{name} {u.length(elevation):.6f} {u.flow(demand):.6f}")
    lines["RESERVOIRS"].append(f"R {u.length(60):.6f}")
    tank = (34 if device in {"PRV", "FCV"} else 48, 3, 0, 6, 30)  # bottom, level, lowest, highest, diameter
    lines["TANKS"].append("T " + " ".join(f"{u.length(x):.6f}" for x in tank) + " 0")
    for name, start, end, length, diameter, c, minor in (
        ("P1", "R", "J1", 800, 200, rough, 0), ("P2", "J1", "J2", 300, 150, rough, 3),
        ("P3", "J3", "J4", 400, 150, smooth, 0), ("P4", "J3", "J5", 350, 100, smooth, 0),
        ("P5", "J4", "J6", 500, 100, smooth, 0), ("P6", "J5", "J6", 300, 80, smooth, 0),
        ("P7", "J4", "T", 600, 100, smooth, 0), ("P8", "J1", "J7", 300, 80, rough, 0),
    ):  # fmt: skip
        lines["PIPES"].append(
            f"{name} {start} {end} {u.length(length):.6f} {u.diameter(diameter):.6f} {c:.8f} {minor} Open"
        )
    for section, line in {**device_line(device, u), **(extra or {})}.items():
        lines.setdefault(section, []).append(line.replace("{rough}", f"{smooth:.8f}"))
    lines["TIMES"] = ["Duration 0", *lines.get("TIMES", [])]
    lines["OPTIONS"] = [f"Units {flow}", f"Headloss {formula}", "Accuracy 0.0001", *lines.get("OPTIONS", [])]
    return "\n".join(f"[{section}]\n" + "\n".join(rows) + "\n" for section, rows in lines.items()) + "[END]\n"


def write(
    folder: Path, device: str = "pipe", flow: str = "LPS", formula: str = "H-W", extra: Mapping[str, str] | None = None
) -> Network:
    """Write the model file into a folder and read it."""
    path = folder / f"{device.replace(' ', '_')}-{flow}-{formula}.inp"
    path.write_text(text(device, flow, formula, extra), encoding="utf-8")
    return load_network(path)
