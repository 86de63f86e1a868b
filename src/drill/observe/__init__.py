"""The observe layer."""
