"""drill proves, by really breaking things, that alerts fire and reach the right people."""

__version__ = "0.1.0"
