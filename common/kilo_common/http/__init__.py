"""HTTP plumbing shared by both services: one gateway around each application, and the servers."""
