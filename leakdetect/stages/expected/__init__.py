"""What the leak-free network would show under what the readings impose on it."""
