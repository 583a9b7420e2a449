{{/*
The sidecar for the pods of a chart that has this one as a dependency. All take the parent's root:

  metadata.annotations   {{ include "kinescope.sidecar.checksum" . }}
  metadata.labels        kinescope: sidecar
  initContainers         {{ include "kinescope.sidecar.native" (dict "root" . "service" "orders") | nindent 8 }}
  or, before 1.29, first in containers
                         {{ include "kinescope.sidecar.classic" (dict "root" . "service" "orders") | nindent 8 }}
  volumes                {{ include "kinescope.sidecar.volumes" . | nindent 8 }}
  the application's env  {{ include "kinescope.sidecar.env" . | nindent 12 }}
*/}}

{{- define "kinescope.sidecar.native" -}}
{{- $version := .root.Capabilities.KubeVersion.Version }}
{{- if semverCompare "<1.29.0-0" $version }}
{{- fail (printf "Kubernetes %s has no native sidecars, which need 1.29: include kinescope.sidecar.classic" $version) }}
{{- end -}}
- name: kinescope
  restartPolicy: Always
  startupProbe: # the next container waits for it
    exec: { command: ["kinescope", "probe"] }
    periodSeconds: 1
    failureThreshold: 30
  {{- include "kinescope.sidecar.body" . | nindent 2 }}
{{- end }}

{{- define "kinescope.sidecar.classic" -}}
- name: kinescope
  lifecycle:
    postStart: # the containers behind this one wait for it
      exec: { command: ["kinescope", "wait", "--timeout", "30s"] }
    preStop: # nobody listens there: ten seconds in which the application may end first
      exec: { command: ["kinescope", "wait", "--admin", "127.0.0.1:9", "--timeout", "10s"] }
  {{- include "kinescope.sidecar.body" . | nindent 2 }}
{{- end }}

{{- define "kinescope.sidecar.body" -}}
{{- $values := .root.Values.kinescope -}}
image: "{{ $values.image.repository }}:{{ $values.image.tag }}"
imagePullPolicy: {{ $values.image.pullPolicy }}
args: ["run", "--config", "/etc/kinescope/kinescope.yaml"]
env:
  - { name: OTEL_SERVICE_NAME, value: {{ .service | quote }} }
  {{- with $values.sidecar.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - { name: metrics, containerPort: 9590 }
# No readiness probe: a pod whose observer has trouble should go on serving.
livenessProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 10
  failureThreshold: 6
resources:
  {{- toYaml $values.sidecar.resources | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  {{- include "kinescope.securityContext" .root | nindent 2 }}
volumeMounts:
  - { name: kinescope-config, mountPath: /etc/kinescope, readOnly: true }
  - { name: kinescope-state, mountPath: /var/lib/kinescope }
{{- end }}

{{- define "kinescope.sidecar.volumes" -}}
- name: kinescope-config
  configMap: { name: {{ include "kinescope.name" . }}-sidecar }
- name: kinescope-state
  emptyDir: { sizeLimit: 64Mi }
{{- end }}

{{- define "kinescope.sidecar.env" -}}
- { name: AWS_ENDPOINT_URL_KINESIS, value: "http://127.0.0.1:4590" }
{{- end }}

{{- define "kinescope.sidecar.checksum" -}}
kinescope/config: {{ include "kinescope.config" (dict "role" "sidecar" "config" .Values.kinescope.sidecar.config) | sha256sum | trunc 16 | quote }}
{{- end }}
