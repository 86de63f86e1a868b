"""The gameday layer."""
