"""What the project installs: a bill of materials, and whether any of it is known to be unsafe."""
