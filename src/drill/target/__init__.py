"""The target layer."""
