"""The slo layer."""
