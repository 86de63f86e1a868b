"""HTTP in, core values out: Prometheus, Alertmanager and the notification sink, read and never changed."""
