"""Kubernetes quantities (``250m``, ``64Mi``, ``1e3``) as numbers."""

from __future__ import annotations

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}


def quantity(text: str | int | float) -> float:
    """Return the number *text* means; 0 when it is none. https://kubernetes.io/docs/reference/ has the grammar."""
    said = str(text).strip()
    for suffix, factor in _BINARY.items():
        if said.endswith(suffix):
            return _number(said.removesuffix(suffix)) * factor
    if said[-1:] in _DECIMAL and not said[-1:].isdigit():
        return _number(said[:-1]) * _DECIMAL[said[-1]]
    return _number(said)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
