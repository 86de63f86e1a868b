"""What past runs prove: an index of them, comparisons, coverage of the alert rules, and the policy check."""
