"""The image catalog: Image API v2, its blob stores, and what runs beside them."""
