"""One module a layout. What stands here has run in users' databases: it is never changed."""
