"""The labels and annotations drill reads and writes. All begin with ``drill.dev/``."""

from __future__ import annotations

ALLOWED = "drill.dev/allowed"
"""Label of a namespace: ``true`` lets drills in."""
FAST_FORWARD = "drill.dev/fast-forward"
"""Annotation of a namespace: its alert rules' windows are divided by this."""
CLIENT_TIMEOUT = "drill.dev/client-timeout"
"""Annotation of a namespace: how long its users wait (``2s``)."""
TIER, CALLS, PORT = "drill.dev/tier", "drill.dev/calls", "drill.dev/port"
"""Annotations of a Service: its tier, the services it calls (``a,b``), the name of the port users come by."""
INTENT = "drill.dev/intent-"
"""Beginning of an annotation of a Service: what a run is about to do there, and how to undo it."""
CORDONED_BY = "drill.dev/cordoned-by"
"""Annotation of a node: which run made it unschedulable."""

PROTECTED = frozenset({"kube-system", "kube-public", "kube-node-lease", "drill-system"})
"""Namespaces no drill acts in, whatever their labels say."""
