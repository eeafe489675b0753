"""The queue and notification service: topics, messages, claims; HTTP and WebSocket."""
