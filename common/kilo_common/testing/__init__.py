"""What tests of this project, and of programs built on it, may use. Nothing here runs in service."""
