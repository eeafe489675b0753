"""The SQL driver: SQLite, PostgreSQL and MariaDB through SQLAlchemy Core."""
