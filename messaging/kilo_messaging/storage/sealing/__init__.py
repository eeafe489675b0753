"""Encryption at rest: what a store gets of an encrypted topic it cannot read."""
