"""Disk image formats, recognised and checked while their bytes stream past."""
