"""The shared library: configuration, context, errors, policy, HTTP and database plumbing, the bus."""
