"""The shared library: configuration, context, errors, policy, HTTP, database, the bus."""
