"""The store in Redis 7: scripts in `lua/`, run by one class for each side of the interface."""
