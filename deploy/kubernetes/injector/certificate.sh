#!/usr/bin/env bash
# Owns the injector's certificate where there is no cert-manager: made here, valid for a year, printed
# as a Secret and as the patch that tells the API server to trust it. Changes nothing by itself.
#
#   ./certificate.sh                  prints both
#   ./certificate.sh secret | kubectl apply -f -
#   ./certificate.sh ca               the certificate in one line, the chart's injector.certificate.caBundle
#   kubectl patch mutatingwebhookconfiguration kinescope-injector --type=json -p "$(./certificate.sh patch)"
#
# Both come from the files in FOLDER (default ./certificate), which are made when they are not there:
# keep the folder out of version control; delete it and do both again to renew.
set -euo pipefail
what=${1:-all}
folder=${FOLDER:-certificate}
namespace=${NAMESPACE:-kinescope}
# The chart's is RELEASE-injector, or RELEASE-kinescope-injector.
service=${SERVICE:-kinescope-injector}
name=$service.$namespace.svc

command -v openssl >/dev/null || { echo "certificate.sh: there is no openssl" >&2; exit 1; }
if [ ! -s "$folder/tls.crt" ] || [ ! -s "$folder/tls.key" ]; then
  mkdir -p "$folder"
  chmod 700 "$folder"
  # Its own authority: there is one server, and the API server is its only client.
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -sha256 \
    -keyout "$folder/tls.key" -out "$folder/tls.crt" -subj "/CN=kinescope-injector" \
    -addext "subjectAltName=DNS:$name" -addext "keyUsage=critical,digitalSignature,keyCertSign" \
    -addext "extendedKeyUsage=serverAuth" 2>/dev/null
fi
one_line() { base64 <"$1" | tr -d '\n'; }

secret() {
  cat <<YAML
apiVersion: v1
kind: Secret
metadata:
  name: $service-tls
  namespace: $namespace
type: kubernetes.io/tls
data:
  tls.crt: $(one_line "$folder/tls.crt")
  tls.key: $(one_line "$folder/tls.key")
YAML
}

patch() {
  echo "[{\"op\":\"add\",\"path\":\"/webhooks/0/clientConfig/caBundle\",\"value\":\"$(one_line "$folder/tls.crt")\"}]"
}

case $what in
  secret) secret ;;
  patch) patch ;;
  ca) one_line "$folder/tls.crt"; echo ;;
  all) secret; echo "---"; echo "# the patch: $(patch)" ;;
  *) echo "certificate.sh: should be: secret, patch, ca or nothing" >&2; exit 64 ;;
esac
