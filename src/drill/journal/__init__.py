"""The append-only journal of a run: typed events, one JSON line each, on disk before the engine goes on."""
