"""Where messages are kept: the interfaces in `base`, and one driver per module or folder."""
