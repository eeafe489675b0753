"""The built-in identity service: Identity API v3 for one machine, from the configuration alone."""
