"""What people look at: results only, nothing is computed here."""
