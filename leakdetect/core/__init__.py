"""Numerics: numpy and scipy only (and numba, in `hydraulics`), nothing of ours but errors."""
