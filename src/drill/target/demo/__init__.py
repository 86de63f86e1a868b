"""The demo shop inside a real cluster: the sandbox's services, users, Prometheus and Alertmanager as Kubernetes objects."""
