"""Simple, published detectors to measure against: a better one must beat them on the same readings."""
