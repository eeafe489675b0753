"""One script per revision of the schema."""
