"""Numerics: numpy and scipy only, nothing of ours but errors."""
