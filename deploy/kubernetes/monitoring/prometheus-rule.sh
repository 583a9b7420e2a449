#!/usr/bin/env bash
# Owns the PrometheusRule: alerts/kinescope.rules.yml, as it is, in the operator's envelope.
#   deploy/kubernetes/monitoring/prometheus-rule.sh | kubectl apply -f -
# Another file of rules may be named.
set -euo pipefail
rules=${1:-$(dirname "$0")/../../../alerts/kinescope.rules.yml}
[ -r "$rules" ] || { echo "prometheus-rule: there is no $rules" >&2; exit 1; }
cat <<'HEAD'
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: kinescope
  namespace: kinescope
  labels: { release: prometheus }
spec:
HEAD
sed '/^---$/d; s/^\(.\)/  \1/' "$rules"
