"""The steps of the data's way, each a room of its own; they do not know each other."""
