"""The all-in-one stack, the command line, and the demo."""
