{{- /* A worker's pod: dict root pool restart group. `group` is how a process learns its place. */ -}}
{{- define "ptsys.workerPod" -}}
{{- $root := .root }}
{{- $pool := .pool }}
{{- $defaults := $root.Values.workerDefaults }}
{{- $chip := dict "tpu" "google.com/tpu" "cuda" "nvidia.com/gpu" }}
{{- $resource := get $chip $pool.accelerator }}
metadata:
  labels:
    {{- include "ptsys.labels" $root | nindent 4 }}
    app.kubernetes.io/component: worker
    ptsys/pool: {{ $pool.name }}
  annotations:
    checksum/settings: {{ include (print $root.Template.BasePath "/settings.yaml") $root | sha256sum }}
spec:
  serviceAccountName: {{ include "ptsys.serviceAccount" $root }}
  automountServiceAccountToken: false
  {{- with .restart }}
  restartPolicy: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $defaults.terminationGracePeriodSeconds }}
  {{- with $pool.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .subdomain }}
  subdomain: {{ .subdomain }}
  {{- end }}
  securityContext: {{- include "ptsys.podSecurity" $root | nindent 4 }}
  containers:
    - name: worker
      image: {{ include "ptsys.image" (list $root $pool.accelerator) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      {{- if eq .group "lws" }}
      command: [sh, -c]
      args:
        - >-
          export PTSYS_COORDINATOR="$LWS_LEADER_ADDRESS:8476"
          PTSYS_PROCESSES="$LWS_GROUP_SIZE" PTSYS_PROCESS_ID="$LWS_WORKER_INDEX";
          exec ptsys worker
      {{- else if eq .group "jobset" }}
      command: [sh, -c]
      args:
        - >-
          export PTSYS_COORDINATOR="$GROUP_NAME-hosts-0-0.$GROUP_NAME:8476"
          PTSYS_PROCESS_ID="$JOB_COMPLETION_INDEX";
          exec ptsys worker
      {{- else }}
      args: [worker]
      {{- end }}
      envFrom:
        - configMapRef: {name: {{ include "ptsys.name" $root }}}
      env:
        {{- include "ptsys.env" $root | nindent 8 }}
        - {name: PTSYS_MODEL, value: {{ $pool.model | quote }}}
        - {name: PTSYS_WORKER_HOST, value: "0.0.0.0"}
        - {name: PTSYS_WORKER_PORT, value: "9400"}
        - {name: PTSYS_DRAIN_SECONDS, value: {{ $defaults.drainSeconds | quote }}}
        # Whoever restarts failures alone must take a preempted worker for one.
        - {name: PTSYS_DRAINED_EXIT_CODE, value: "75"}
        {{- if eq $pool.kind "ScaledJob" }}
        - {name: PTSYS_IDLE_EXIT_SECONDS, value: {{ $pool.idleSeconds | quote }}}
        {{- end }}
        {{- if eq .group "jobset" }}
        - {name: GROUP_NAME, value: {{ .fullName }}}
        - {name: PTSYS_PROCESSES, value: {{ $pool.hosts | quote }}}
        {{- end }}
        {{- with $pool.groupTokenSecret }}
        - name: PTSYS_GROUP_TOKEN
          valueFrom:
            secretKeyRef: {name: {{ .secretName }}, key: {{ .secretKey }}}
        {{- end }}
        {{- range $name, $value := $pool.settings }}
        - {name: PTSYS_{{ $name }}, value: {{ $value | quote }}}
        {{- end }}
      ports:
        - {name: watch, containerPort: 9400}
        {{- if ne .group "" }}
        - {name: coordinator, containerPort: 8476}
        - {name: group, containerPort: 8477}
        {{- end }}
      # Loading weights takes as long as it takes; then it lives while its device moves.
      startupProbe:
        httpGet: {path: /startupz, port: watch}
        periodSeconds: 10
        failureThreshold: {{ div $defaults.startupSeconds 10 }}
      livenessProbe:
        httpGet: {path: /healthz, port: watch}
        periodSeconds: 15
        timeoutSeconds: 10
        failureThreshold: 8
      readinessProbe:
        httpGet: {path: /readyz, port: watch}
        periodSeconds: 5
        timeoutSeconds: 10
      securityContext:
        {{- if $pool.securityContext }}
        {{- toYaml $pool.securityContext | nindent 8 }}
        {{- else }}
        {{- include "ptsys.containerSecurity" $root | nindent 8 }}
        {{- end }}
      {{- $resources := deepCopy (default dict $pool.resources) }}
      {{- if $resource }}
      {{- range $which := list "requests" "limits" }}
      {{- $_ := set $resources $which (set (default dict (get $resources $which)) $resource ($pool.chips | int)) }}
      {{- end }}
      {{- end }}
      resources: {{- toYaml $resources | nindent 8 }}
      volumeMounts: {{- include "ptsys.volumeMounts" $root | nindent 8 }}
  {{- $selector := default dict $pool.nodeSelector }}
  {{- if eq $pool.accelerator "tpu" }}
  {{- $selector = merge (dict "cloud.google.com/gke-tpu-accelerator" $pool.tpuAccelerator "cloud.google.com/gke-tpu-topology" $pool.tpuTopology) $selector }}
  {{- end }}
  {{- with $selector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $tolerations := default list $pool.tolerations }}
  {{- if $resource }}
  {{- $tolerations = append $tolerations (dict "key" $resource "operator" "Exists" "effect" "NoSchedule") }}
  {{- end }}
  {{- with $tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pool.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  volumes: {{- include "ptsys.volumes" $root | nindent 4 }}
{{- end }}

{{- /* What a Job does about pods that end: a preemption counts for nothing. dict action */ -}}
{{- define "ptsys.podFailurePolicy" -}}
rules:
  - action: {{ .action }}
    onPodConditions:
      - {type: DisruptionTarget, status: "True"}
  - action: {{ .action }}
    onExitCodes:
      containerName: worker
      operator: In
      values: [75, 143]
{{- end }}
