"""The operations of the service, each written once and free of any transport."""
