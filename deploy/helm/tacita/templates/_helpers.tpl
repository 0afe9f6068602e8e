{{- define "tacita.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tacita.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tacita.labels" -}}
{{ include "tacita.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "tacita.account" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "tacita.name" .) }}{{ else }}{{ required "serviceAccount.name: the account that exists already" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "tacita.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* What is the same for every pod. The image's user is 10001; a backup's volume is given to that group. */ -}}
{{- define "tacita.pod" -}}
serviceAccountName: {{ include "tacita.account" . }}
automountServiceAccountToken: {{ .Values.serviceAccount.automountToken }}
# Variables with the addresses of every Service of the namespace are nobody's business.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tacita.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "tacita.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "tacita.environment" -}}
- name: TACITA_CONFIG
  value: /etc/tacita/tacita.json
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
{{- range .Values.secretEnvironment }}
- name: {{ .name }}
  valueFrom: { secretKeyRef: { name: {{ .secret }}, key: {{ .key | quote }} } }
{{- end }}
{{- end }}

{{- define "tacita.mounts" -}}
- { name: settings, mountPath: /etc/tacita, readOnly: true }
- { name: home, mountPath: /var/lib/tacita }
- { name: tmp, mountPath: /tmp }
{{- if .Values.certificates.configMap }}
- { name: certificates, mountPath: /etc/tacita-ca, readOnly: true }
{{- end }}
{{- end }}

{{- define "tacita.volumes" -}}
- name: settings
  configMap: { name: {{ include "tacita.name" . }} }
# The record of the root key and locks, made anew from the settings; memories are in the databases.
- name: home
  emptyDir: { sizeLimit: 64Mi }
- name: tmp
  emptyDir: { sizeLimit: 256Mi }
{{- with .Values.certificates.configMap }}
- name: certificates
  configMap: { name: {{ . }} }
{{- end }}
{{- end }}

{{- /* A CronJob of one of our commands: (dict "root" $ "name" "sweep" "job" .Values.sweep "args" (list ...)) */ -}}
{{- define "tacita.cronjob" -}}
{{- $root := .root -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ include "tacita.name" $root }}-{{ .name }}
  labels:
    {{- include "tacita.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
spec:
  schedule: {{ .job.schedule | quote }}
  # Two at once would only wait for each other.
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 3600
  successfulJobsHistoryLimit: 2
  failedJobsHistoryLimit: 4
  jobTemplate:
    spec:
      # What fails is looked at; a second try an hour later tells nothing that the first did not.
      backoffLimit: 1
      activeDeadlineSeconds: {{ .job.activeDeadlineSeconds }}
      template:
        metadata:
          labels:
            {{- include "tacita.labels" $root | nindent 12 }}
            app.kubernetes.io/component: {{ .name }}
            {{- with $root.Values.podLabels }}{{ toYaml . | nindent 12 }}{{- end }}
          {{- with $root.Values.podAnnotations }}
          annotations: {{ toYaml . | nindent 12 }}
          {{- end }}
        spec:
          restartPolicy: Never
          {{- include "tacita.pod" $root | nindent 10 }}
          securityContext:
            {{- include "tacita.podSecurity" $root | nindent 12 }}
            {{- if .claim }}
            fsGroup: 10001
            # Else every start opens each copy to the group.
            fsGroupChangePolicy: OnRootMismatch
            {{- end }}
          containers:
            - name: tacita
              image: {{ include "tacita.image" $root }}
              imagePullPolicy: {{ $root.Values.image.pullPolicy }}
              args: {{ toJson .args }}
              env: {{- include "tacita.environment" $root | nindent 16 }}
              securityContext: {{- include "tacita.containerSecurity" $root | nindent 16 }}
              resources: {{- toYaml $root.Values.resources | nindent 16 }}
              volumeMounts:
                {{- include "tacita.mounts" $root | nindent 16 }}
                {{- if .claim }}
                - { name: backups, mountPath: /var/backups/tacita }
                {{- end }}
          volumes:
            {{- include "tacita.volumes" $root | nindent 12 }}
            {{- with .claim }}
            - name: backups
              persistentVolumeClaim: { claimName: {{ . }} }
            {{- end }}
{{- end }}

{{- /* What a schema cannot say. */ -}}
{{- define "tacita.checked" -}}
{{- range $name := list "store" "ring" "keys" }}
{{- $_ := required (printf "settings.%s: a pod has no home that remembers it" $name) (get $.Values.settings $name) }}
{{- range $option := regexFindAll "[?&](key|secret|token|password)=[^&]*" (get $.Values.settings $name) -1 }}
{{- if not (regexMatch "=(env|file|keyring):" $option) }}
{{- fail (printf "settings.%s: a ConfigMap is no place for a secret; write password=env:NAME, and NAME under secretEnvironment" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.worker.enabled (not .Values.worker.command) }}
{{- fail "worker.command: what your application is started with" }}
{{- end }}
{{- if .Values.networkPolicy.enabled }}
{{- if not .Values.networkPolicy.database.to }}
{{- fail "networkPolicy.database.to: where the databases are; an empty list would be everywhere" }}
{{- end }}
{{- if and (regexMatch "^(awskms|gcpkms|azurekv|vault):" .Values.settings.keys) (not .Values.networkPolicy.keyService.to) }}
{{- fail "networkPolicy.keyService.to: where the key service is, and what hands out its tokens" }}
{{- end }}
{{- end }}
{{- end }}
