"""The matchmaker in a database, and its migrations. Only this package knows SQLAlchemy."""
