"""The matchmaker: who consumes what, and where. `base.py` holds the interface."""
