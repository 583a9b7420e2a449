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

{{- define "kinescope.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{- define "kinescope.injector.name" -}}
{{ include "kinescope.name" . }}-injector
{{- end }}

{{- define "kinescope.injector.selector" -}}
kinescope: injector
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kinescope.injector.secret" -}}
{{ default (printf "%s-tls" (include "kinescope.injector.name" .)) .Values.injector.certificate.secret }}
{{- end }}

{{/* native or classic; a native sidecar on an older cluster would keep its pod in Init for ever. */}}
{{- define "kinescope.injector.mode" -}}
{{- $version := .Capabilities.KubeVersion.Version }}
{{- $old := semverCompare "<1.29.0-0" $version }}
{{- if and $old (eq .Values.injector.mode "native") }}
{{- fail (printf "Kubernetes %s has no native sidecars, which need 1.29: set injector.mode to auto or classic" $version) }}
{{- end }}
{{- if eq .Values.injector.mode "auto" }}{{ ternary "classic" "native" $old }}{{ else }}{{ .Values.injector.mode }}{{ end }}
{{- end }}

{{/* Every sidecar's variables: what the values say, over this release's hub. */}}
{{- define "kinescope.injector.env" -}}
{{- $own := dict }}
{{- if .Values.hub.enabled }}
{{- $own = dict "KINESCOPE_HUB__ENDPOINT" (printf "http://%s-hub.%s:4595" (include "kinescope.name" .) .Release.Namespace) }}
{{- end }}
{{- toYaml (mergeOverwrite $own .Values.injector.env) }}
{{- end }}
