"""Database plumbing: engines, transactions as functions, migrations."""
