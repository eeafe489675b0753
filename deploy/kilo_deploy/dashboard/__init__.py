"""The dashboard: a page that shows what a stack does, and lets one try it."""
