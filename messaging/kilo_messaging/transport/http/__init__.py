"""The HTTP API under /v2/queues and /v2/topics."""
