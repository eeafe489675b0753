"""What tests of this project, and of programs built on it, may use. None of it runs in service."""
