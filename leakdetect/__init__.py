"""leakdetect: finds leaks in water distribution networks.

Importing it is quick: what is heavy (WNTR, matplotlib, pandas) loads when first used.
"""

from __future__ import annotations

__version__ = "0.1.0"
