#!/usr/bin/env bash
# Owns one run of the peer tests: those that mostly wait beside the others, in a process of their own
# with ports of their own. Each says its result; any failure is one.
set -uo pipefail
cd "$(dirname "$0")/../.."
there=target/peers
[ -x $there/venv/bin/python ] || exit 0
run() { "$there/venv/bin/python" -m pytest tests/peers -p no:cacheprovider -ra --durations=15 -m "$1"; }

KINESCOPE_TEST_PORTS="26000 32000" run 'patient and not soak' >$there/patient.log 2>&1 &
status=0
run 'not patient and not soak' || status=1
wait $! || status=1
echo "those that mostly wait:"
cat $there/patient.log
exit $status
