"""The ways in: HTTP and WebSocket. They translate to `protocol` and decide nothing."""
