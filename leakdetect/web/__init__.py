"""The web page: what runs have left, in a browser, and a JSON interface. It shows and notes; it never computes."""
