"""Following leaks: levels and flows by a filter, new changes by a test over windows."""
