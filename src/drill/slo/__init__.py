"""Service level objectives as files: reading them, and saying by line and column what is wrong with them."""
