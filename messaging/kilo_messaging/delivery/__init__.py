"""Getting messages to subscribers."""
