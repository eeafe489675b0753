"""The schema of the matchmaker's table."""
