"""The Kubernetes target: ``--service checkout`` is a Service; selectors give pods, pods give nodes."""
