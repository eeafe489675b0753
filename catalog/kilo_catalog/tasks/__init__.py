"""What runs beside the requests: the outbox relay, the reaper, the renewal of upload leases."""
