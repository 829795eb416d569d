"""How one layout of the tables becomes the next, for alembic."""
