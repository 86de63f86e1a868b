"""A real Kubernetes cluster on one machine, without an image registry: kind, and a worker with a kernel of its own.

``python -m testcluster`` (with ``tools`` on PYTHONPATH) is the only way in; see :mod:`testcluster.cli`.
"""
