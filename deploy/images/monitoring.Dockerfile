# Prometheus and Alertmanager in one image, for the demo (`drill demo deploy --monitoring-image …`).
#   docker build -f deploy/images/monitoring.Dockerfile -t drill.dev/monitoring:0.1.0 .
# The test cluster builds the same releases from source (tools/servers).
FROM prom/alertmanager:v0.31.1 AS alertmanager

FROM prom/prometheus:v3.16.0
COPY --from=alertmanager /bin/alertmanager /bin/alertmanager
USER 65532:65532
ENTRYPOINT []
