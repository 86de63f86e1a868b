"""`drill runbook`: runbooks shown, checked, walked through and proven."""
