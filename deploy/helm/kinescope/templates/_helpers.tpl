{{- define "kinescope.name" -}}
{{- if contains "kinescope" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-kinescope" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "kinescope.labels" -}}
app.kubernetes.io/name: kinescope
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What may never change on a Deployment. */}}
{{- define "kinescope.hub.selector" -}}
kinescope: hub
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kinescope.hub.serviceAccount" -}}
{{- if .Values.hub.serviceAccount.create }}{{ default (printf "%s-hub" (include "kinescope.name" .)) .Values.hub.serviceAccount.name }}{{ else }}{{ default "default" .Values.hub.serviceAccount.name }}{{ end }}
{{- end }}

{{/* A role's configuration: what the values say, under what the chart's own ports need. */}}
{{- define "kinescope.config" -}}
{{- $own := dict "role" .role "admin" (dict "listen" (list "0.0.0.0:9590")) }}
{{- toYaml (mergeOverwrite (deepCopy .config) $own) }}
{{- end }}

{{- define "kinescope.securityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: ["ALL"] }
seccompProfile: { type: RuntimeDefault }
{{- end }}
