"""What topics, messages and claims are and which rules they obey: pure values, no I/O."""
