"""The Image API v2 over HTTP: one blueprint per noun; they only translate."""
