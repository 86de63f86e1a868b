"""The alerting layer."""
