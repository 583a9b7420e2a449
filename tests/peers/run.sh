#!/usr/bin/env bash
# Owns one run of the peer tests: those that mostly wait beside the others, in a process of their own
# with ports of their own. Each says its result; any failure is one. `run.sh MARK` runs those of a mark alone.
set -uo pipefail
cd "$(dirname "$0")/../.."
there=target/peers
run() { "$there/venv/bin/python" -m pytest tests/peers -p no:cacheprovider -ra --durations=15 -m "$1"; }

if [ $# -gt 0 ]; then
  run "$1"
  exit
fi
[ -x $there/venv/bin/python ] || exit 0
KINESCOPE_TEST_PORTS="26000 32000" run 'patient and not soak' >$there/patient.log 2>&1 &
status=0
run 'not patient and not soak' || status=1
wait $! || status=1
echo "those that mostly wait:"
cat $there/patient.log
exit $status
