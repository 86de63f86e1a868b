"""Scenario files: the model, the position-keeping loader, the exported JSON schema."""
