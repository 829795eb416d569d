"""The two elementary functions that the compiler cannot vectorise by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.compiled import compiled

Floats = NDArray[np.float64]

_FRACTION, _ONE = 0x000FFFFFFFFFFFFF, 0x3FF0000000000000  # bits of a double: its fraction; those of 1.0
_SIGNLESS = 0x7FFFFFFFFFFFFFFF
_INTEGER = 4503599627370496.0  # 2^52: a whole number added to it stands in the low bits
_INTEGER_BITS = 0x4330000000000000
_NEAREST = 6755399441055744.0  # 1.5 * 2^52: adding it rounds, of either sign
_LN2, _ROOT2 = 0.6931471805599453, 1.4142135623730951
_CHUNK = 512  # values at a time: they stay in the nearest cache


@compiled
def log2(x: Floats, out: Floats) -> None:
    """Write log2 |x| of flat arrays, to 1e-13; -1023 or so of 0.

    The fraction m in [sqrt(1/2), sqrt 2) by 2 atanh((m - 1) / (m + 1)), the exponent as it stands.
    """
    place = np.empty(_CHUNK, dtype=np.int64)
    fraction = np.empty(_CHUNK, dtype=np.int64)
    exponent, m = place.view(np.float64), fraction.view(np.float64)
    bits = x.view(np.int64)
    for low in range(0, len(x), _CHUNK):
        count = min(_CHUNK, len(x) - low)
        for i in range(count):
            size = bits[low + i] & _SIGNLESS
            place[i] = (size >> 52) | _INTEGER_BITS
            fraction[i] = (size & _FRACTION) | _ONE
        for i in range(count):
            high = m[i] > _ROOT2
            y = m[i] * 0.5 if high else m[i]
            e = exponent[i] - (_INTEGER + 1022.0) if high else exponent[i] - (_INTEGER + 1023.0)
            s = (y - 1.0) / (y + 1.0)
            t = s * s
            p = 1 / 13
            p = p * t + 1 / 11
            p = p * t + 1 / 9
            p = p * t + 1 / 7
            p = p * t + 1 / 5
            p = p * t + 1 / 3
            p = p * t + 1.0
            out[low + i] = e + (2.0 / _LN2) * s * p


@compiled
def exp2(x: Floats, factor: float, out: Floats) -> None:
    """Write 2^(factor x) of flat arrays, to 1e-12, for factor x within -1000 and 1000; may be done in place."""
    whole = np.empty(_CHUNK, dtype=np.float64)
    part = np.empty(_CHUNK, dtype=np.float64)
    shift, value = whole.view(np.int64), part.view(np.int64)
    for low in range(0, len(x), _CHUNK):
        count = min(_CHUNK, len(x) - low)
        for i in range(count):
            y = x[low + i] * factor
            rounded = y + _NEAREST
            whole[i] = rounded
            z = (y - (rounded - _NEAREST)) * _LN2
            p = 1 / 3628800
            p = p * z + 1 / 362880
            p = p * z + 1 / 40320
            p = p * z + 1 / 5040
            p = p * z + 1 / 720
            p = p * z + 1 / 120
            p = p * z + 1 / 24
            p = p * z + 1 / 6
            p = p * z + 0.5
            p = p * z + 1.0
            part[i] = p * z + 1.0
        for i in range(count):
            value[i] += shift[i] << 52
        for i in range(count):
            out[low + i] = part[i]
