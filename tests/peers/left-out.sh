#!/usr/bin/env bash
# Owns the last lines of `make test`: which peers no test has met in this run.
if [ -s "$(dirname "$0")/../../target/peers/left-out" ]; then
  sed 's/^/LEFT OUT: /' "$(dirname "$0")/../../target/peers/left-out"
else
  echo "no peer was left out"
fi
