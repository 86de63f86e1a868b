"""Plain values every layer may use: no I/O, no clock, nothing but types and small pure functions."""
