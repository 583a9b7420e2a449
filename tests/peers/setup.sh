#!/usr/bin/env bash
# Owns the installing of the programs that tests/peers runs against, all under target/peers: nothing
# on the system changes, nothing asks a question, a warm run takes a second. What cannot be had here
# is written to target/peers/left-out, one peer a line with its reason; with
# KINESCOPE_REQUIRE_PEERS=1 that is a failure.
set -uo pipefail
cd "$(dirname "$0")/../.."
here=tests/peers
there=$PWD/target/peers
mkdir -p "$there"
: >"$there/left-out"
log=$there/setup.log
: >"$log"

leave_out() {
  echo "$1" >>"$there/left-out"
  echo "LEFT OUT: $1" >&2
}

# up_to_date STAMP FILE…: whether the stamp was made from these very files.
fingerprint() { cat "$@" | cksum; }
up_to_date() { [ -f "$1" ] && [ "$(cat "$1")" = "$(fingerprint "${@:2}")" ]; }

python_peers() {
  local stamp=$there/venv/stamp
  up_to_date "$stamp" $here/requirements.txt && return
  command -v python3 >/dev/null || { leave_out "every peer test: there is no python3"; return; }
  echo "setting up the Python peers (ministack, boto3, rotel, pytest) in target/peers/venv"
  rm -rf "$there/venv"
  if python3 -m venv "$there/venv" >>"$log" 2>&1 &&
    "$there/venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
      -r $here/requirements.txt >>"$log" 2>&1; then
    fingerprint $here/requirements.txt >"$stamp"
  else
    tail -5 "$log" >&2
    rm -rf "$there/venv"
    leave_out "every peer test: the Python packages of $here/requirements.txt could not be installed"
  fi
}

node_peers() {
  local stamp=$there/npm/stamp
  local files=($here/package.json $here/package-lock.json $here/.npmrc)
  up_to_date "$stamp" "${files[@]}" && return
  command -v npm >/dev/null || { leave_out "kinesis-mock, aws-sdk-js-v3: there is no npm"; return; }
  echo "setting up the Node peers (kinesis-mock, the AWS SDK for JavaScript) in target/peers/npm"
  rm -rf "$there/npm"
  mkdir -p "$there/npm"
  cp "${files[@]}" "$there/npm/"
  if (cd "$there/npm" && npm ci --ignore-scripts --no-audit --no-fund) >>"$log" 2>&1 </dev/null; then
    fingerprint "${files[@]}" >"$stamp"
  else
    tail -5 "$log" >&2
    rm -rf "$there/npm"
    leave_out "kinesis-mock, aws-sdk-js-v3: the npm packages could not be installed"
  fi
}

# Debian's package is unpacked, not installed: its programs need nothing but libc, no root is needed
# and no daemon is started on somebody's machine. One of the PATH is the second choice, so that a
# green run here does not hide that the first fails.
debian_peers() {
  local root=$there/debian
  [ -x "$root/usr/bin/promtool" ] && return
  if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    echo "unpacking Debian's prometheus in target/peers/debian"
    rm -rf "$root"
    mkdir -p "$root"
    # A fresh machine has no package lists yet, and only root may fetch them.
    (cd "$root" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } &&
      dpkg -x prometheus_*.deb . && rm -f prometheus_*.deb) >>"$log" 2>&1 </dev/null
  fi
  [ -x "$root/usr/bin/promtool" ] && return
  rm -rf "$root"
  command -v prometheus >/dev/null && command -v promtool >/dev/null && return
  leave_out "prometheus: it is not on the PATH and Debian's package could not be fetched"
}

python_peers
node_peers
debian_peers

if [ -s "$there/left-out" ] && [ "${KINESCOPE_REQUIRE_PEERS:-0}" = 1 ]; then
  echo "KINESCOPE_REQUIRE_PEERS=1 and a peer is missing; what the installers said is in target/peers/setup.log" >&2
  exit 1
fi
exit 0
