"""Numbers as files write them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakdetect.readings.files import MISSING


def numbers(written: pd.Series, decimal: str) -> tuple[NDArray[np.float64], int | None]:
    """Read a column of numbers.

    Parameters
    ----------
    written : Series, length T
        Numbers, or text with the given decimal mark.
    decimal : str
        ``.`` or ``,``.

    Returns
    -------
    values : ndarray, shape (T,)
        NaN where nothing is written.
    bad : int or None
        Position of the first text that is no number; None if there is none.
    """
    if pd.api.types.is_numeric_dtype(written.dtype) and not pd.api.types.is_bool_dtype(written.dtype):
        return written.to_numpy(dtype="float64", na_value=np.nan), None
    text = written.where(written.notna(), "").astype("str").str.strip()
    if decimal == ",":
        text = text.str.replace(",", ".", regex=False)
    empty = text.isin(list(MISSING)).to_numpy()
    values = pd.to_numeric(text.where(~empty, "nan"), errors="coerce").to_numpy(dtype="float64")
    bad = np.flatnonzero(np.isnan(values) & ~empty)
    return values, int(bad[0]) if bad.size else None
