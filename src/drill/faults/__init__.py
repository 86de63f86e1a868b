"""The faults layer."""
