#!/usr/bin/env bash
# Owns building the image: a static release binary without the demo, the machine's root certificates
# and an empty state folder become the context of deploy/Containerfile.
#
#   deploy/build-image.sh [TAG]           default kinescope:VERSION
#   TARGET=aarch64-unknown-linux-musl     another architecture; not tested here
#   TARGET=x86_64-unknown-linux-gnu       static glibc, where the musl target cannot be had
#   BINARY=path                           a binary that is there already
#   BUILDER=buildah|podman|docker         default: the first of them that is there
#   CA_BUNDLE=path                        default /etc/ssl/certs/ca-certificates.crt
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
tag=${1:-kinescope:$version}
target=${TARGET:-x86_64-unknown-linux-musl}
bundle=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}
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

binary=${BINARY:-}
if [ -z "$binary" ]; then
  # aws-lc is C: musl needs a C compiler of its own (Debian: musl-tools).
  case $target in
    x86_64-*-musl) export CC_x86_64_unknown_linux_musl=${CC_x86_64_unknown_linux_musl:-musl-gcc} ;;
    *-gnu) export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" ;;
  esac
  KINESCOPE_REVISION=${KINESCOPE_REVISION:-$(git rev-parse --short HEAD)} \
    cargo build --release --locked --no-default-features --bin kinescope --target "$target" ||
    fail "the build failed; is the target there? rustup target add $target"
  binary=target/$target/release/kinescope
fi
[ -x "$binary" ] || fail "there is no program $binary"
# In an image with nothing else a dynamic binary says only 'no such file'.
[[ $(ldd "$binary" 2>&1) != *"=>"* ]] || fail "$binary is not static: build with TARGET=$target, without BINARY"

rm -rf "$context"
mkdir -p "$context/state"
cp "$binary" "$context/kinescope"
cp "$bundle" "$context/ca-certificates.crt"

case $(basename "$builder") in
  buildah) "$builder" bud --layers=false -f deploy/Containerfile -t "$tag" "$context" ;;
  *) "$builder" build -f deploy/Containerfile -t "$tag" "$context" ;;
esac
echo "built $tag from $binary"
