"""The operations of the catalog, each written once, free of HTTP and of any database."""
