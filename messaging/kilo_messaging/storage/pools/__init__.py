"""Several stores as one: topics lie on pools, and whoever asks for one is led there."""
