{{- define "writeback.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{/* Labels of everything. Give (dict "root" $ "part" "api"). */}}
{{- define "writeback.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/part-of: writeback
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
{{ include "writeback.selector" . }}
{{- end }}

{{/* What a Deployment's pods are found by; never changes. */}}
{{- define "writeback.selector" -}}
app.kubernetes.io/name: writeback
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .part }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "writeback.image" -}}
{{ .root.Values.image.repository }}-{{ .program }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* What api and worker pods have in common. Give root, part, name, values. */}}
{{- define "writeback.podSettings" -}}
serviceAccountName: {{ include "writeback.name" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
# Longer than drain and grace together, so that work under way ends before the kill.
terminationGracePeriodSeconds: {{ add .root.Values.shutdownGraceSeconds (.drain | default 0) 15 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "writeback.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "writeback.probes" -}}
# A process that waits for NATS or Redis lives and is not ready; a restart would not help.
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 3
{{ include "writeback.confined" . }}
{{- end }}

{{- define "writeback.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "writeback.envFrom" -}}
envFrom:
  - configMapRef: {name: {{ include "writeback.name" . }}}
{{- with .Values.connectionsSecret }}
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "writeback.mounts" -}}
{{- with .Values.registry.configMap }}
- {name: registry, mountPath: /etc/writeback/registry, readOnly: true}
{{- end }}
{{- with .Values.keyset.secretName }}
- {name: keyset, mountPath: /etc/writeback/keyset, readOnly: true}
{{- end }}
{{- with .Values.nats.credsSecret.name }}
- {name: nats-creds, mountPath: /etc/writeback/nats, readOnly: true}
{{- end }}
{{- with .Values.extraCA.secretName }}
- {name: extra-ca, mountPath: /etc/writeback/ca, readOnly: true}
{{- end }}
{{- if .Values.clientTLS.secretName }}
- {name: client-tls, mountPath: /etc/writeback/tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "writeback.volumes" -}}
{{- with .Values.registry.configMap }}
- name: registry
  configMap: {name: {{ . }}}
{{- end }}
{{- with .Values.keyset.secretName }}
- name: keyset
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.nats.credsSecret.name }}
- name: nats-creds
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.extraCA.secretName }}
- name: extra-ca
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.clientTLS.secretName }}
- name: client-tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}
