#!/usr/bin/env bash
# Owns building the image: a static release binary without the demo, the machine's root certificates,
# the order in which names are looked up and an empty state folder become the context of
# deploy/Containerfile. Says which C library the binary carries.
#
#   deploy/build-image.sh [TAG]           default kinescope:VERSION
#   TARGET=x86_64-unknown-linux-musl      or x86_64-unknown-linux-gnu (static glibc). Default: musl where
#                                         its Rust target and a C compiler for it are there, else gnu
#   TARGET=aarch64-unknown-linux-musl     another architecture; not tested here
#   BINARY=path                           a binary that is there already
#   BUILDER=buildah|podman|docker         default: the first of them that is there
#   CA_BUNDLE=path                        default /etc/ssl/certs/ca-certificates.crt
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
tag=${1:-kinescope:$version}
bundle=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}
built=${CARGO_TARGET_DIR:-target}
context=$PWD/target/image

fail() {
  echo "build-image: $1" >&2
  exit 1
}

[ -r "$bundle" ] || fail "there is no $bundle: install ca-certificates, or say CA_BUNDLE=path"

builder=${BUILDER:-}
for name in buildah podman docker; do
  [ -n "$builder" ] || ! command -v "$name" >/dev/null || builder=$name
done
[ -n "$builder" ] || fail "there is no buildah, podman or docker: install one, or say BUILDER=path"

# What keeps a musl binary from being built here; nothing where it can be.
no_musl() {
  local target=$1 compiler=CC_${1//-/_}
  [ -d "$(rustc --print target-libdir --target "$target")" ] ||
    { echo "the Rust target $target is not installed (rustup target add $target)"; return; }
  [ -n "${!compiler:-}" ] || command -v musl-gcc >/dev/null ||
    echo "there is no C compiler for musl (Debian: musl-tools)"
}

binary=${BINARY:-}
if [ -z "$binary" ]; then
  target=${TARGET:-}
  if [ -z "$target" ]; then
    target=$(uname -m)-unknown-linux-musl
    why=$(no_musl "$target")
    if [ -n "$why" ]; then
      target=${target%musl}gnu
      echo "build-image: static glibc ($target), because $why"
    else
      echo "build-image: musl ($target)"
    fi
  fi
  case $target in
    *-musl)
      # aws-lc is C: musl needs a C compiler of its own.
      compiler=CC_${target//-/_}
      export "$compiler=${!compiler:-musl-gcc}"
      ;;
    *-gnu)
      [ -e "$("${CC:-cc}" -print-file-name=libc.a)" ] ||
        fail "there is no libc.a to link with: install libc6-dev (Fedora: glibc-static)"
      export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static"
      ;;
  esac
  # A backtrace names functions without debug information, which would be most of the image.
  CARGO_PROFILE_RELEASE_DEBUG=${CARGO_PROFILE_RELEASE_DEBUG:-none} \
    CARGO_PROFILE_RELEASE_STRIP=${CARGO_PROFILE_RELEASE_STRIP:-debuginfo} \
    KINESCOPE_REVISION=${KINESCOPE_REVISION:-$(git rev-parse --short HEAD)} \
    cargo build --release --locked --no-default-features --bin kinescope --target "$target" ||
    fail "the build failed; is the target there? rustup target add $target"
  binary=$built/$target/release/kinescope
fi
[ -x "$binary" ] || fail "there is no program $binary"
# In an image with nothing else a dynamic binary says only 'no such file'.
[[ $(ldd "$binary" 2>&1) != *"=>"* ]] || fail "$binary is not static: build it with this script, without BINARY"

rm -rf "$context"
mkdir -p "$context/state"
cp "$binary" "$context/kinescope"
cp "$bundle" "$context/ca-certificates.crt"
# Without this file glibc before 2.35 asks DNS first, and its "no" ends the search before /etc/hosts.
echo "hosts: files dns" >"$context/nsswitch.conf"

case $(basename "$builder") in
  buildah) "$builder" bud --layers=false -f deploy/Containerfile -t "$tag" "$context" ;;
  *) "$builder" build -f deploy/Containerfile -t "$tag" "$context" ;;
esac
echo "built $tag from $binary ($(stat -c %s "$binary" 2>/dev/null || wc -c <"$binary") bytes)"
