"""The verify layer."""
