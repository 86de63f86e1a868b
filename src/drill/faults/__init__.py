"""The faults: one small pure file each. The registry is a literal list; outside faults come by entry point."""
