"""Burn-rate alerting, pure: rules and routes made from SLOs, read back from files, and predicted.

Knows no server, no clock and no file system: text and values in, text and values out.
"""
