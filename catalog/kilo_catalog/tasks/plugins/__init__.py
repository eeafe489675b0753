"""What an import does to data between its arrival and its stores: one module per concern."""
