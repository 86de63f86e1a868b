"""The command line: the only layer that knows every other one."""
