"""The demo shop in a real cluster: the sandbox's services, users and servers as Kubernetes objects."""
