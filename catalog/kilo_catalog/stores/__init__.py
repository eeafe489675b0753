"""Blob stores: where image data is kept. Usable without the API and without a database."""
