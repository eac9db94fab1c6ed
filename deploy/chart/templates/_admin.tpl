{{/* The admin port, for the one who reads metrics; it has no address of its own, so
that nothing is routed to it by accident. */}}
{{- define "writeback.adminService" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}-admin
  labels:
    writeback.io/metrics: "true"
    {{- include "writeback.labels" .part | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {{- include "writeback.selector" .part | nindent 4 }}
  ports:
    - {name: admin, port: 8081, targetPort: admin}
{{- end }}
