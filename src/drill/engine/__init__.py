"""The engine: the only code that acts. A pure ``decide`` and a thin shell that carries its commands out."""
