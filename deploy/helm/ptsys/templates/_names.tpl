{{- define "ptsys.name" -}}
{{- if contains "ptsys" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-ptsys" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "ptsys.selector" -}}
app.kubernetes.io/name: ptsys
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ptsys.labels" -}}
{{ include "ptsys.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "ptsys.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}{{ else if .Values.serviceAccount.create }}{{ include "ptsys.name" . }}{{ else }}default{{ end }}
{{- end }}

{{- /* The image of a target (cpu, tpu, cuda): list root target */ -}}
{{- define "ptsys.image" -}}
{{- $root := index . 0 -}}
{{ $root.Values.image.repository }}:{{ default $root.Chart.AppVersion $root.Values.image.tag }}-{{ index . 1 }}
{{- end }}

{{- /* Where URLs with passwords come from, and whatever is set for all. */ -}}
{{- define "ptsys.env" -}}
- name: PTSYS_DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.database.secretName }}, key: {{ .Values.database.secretKey }}}
- name: PTSYS_REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.redis.secretName }}, key: {{ .Values.redis.secretKey }}}
{{- end }}

{{- define "ptsys.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "ptsys.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "ptsys.volumeMounts" -}}
- name: data
  mountPath: /var/lib/ptsys
  {{- with .Values.data.subPath }}
  subPath: {{ . }}
  {{- end }}
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "ptsys.volumes" -}}
- name: data
  persistentVolumeClaim: {claimName: {{ .Values.data.existingClaim }}}
- name: tmp
  emptyDir: {}
{{- end }}
