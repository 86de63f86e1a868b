"""The runbook layer."""
