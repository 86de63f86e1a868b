"""Kills drill, its helpers, kubelet and API server on the test cluster, and looks for anything that stays.

``python -m bench.leaks.cluster``; see ``__main__``.
"""
