//! Owns the examples below each command's help. A test holds every one of them to the command line.

pub(super) const PROGRAM: &str = "Examples:
  kinescope run --config kinescope.yaml
  kinescope check --online
  kinescope plan --records-per-second 2000 --record-size-bytes 800
  kinescope man check | man -l -

Exit codes: 0 done, 1 a fault, 64 bad configuration or arguments. `kinescope COMMAND --help` has more.";

pub(super) const RUN: &str = "Examples:
  kinescope run
  kinescope run --config /etc/kinescope/kinescope.yaml
  kinescope run --role hub --config hub.yaml
  kinescope run --listen 127.0.0.1:4600

Every key of the file has a variable: KINESCOPE_PROXY__PROPAGATION=off is proxy.propagation. SIGHUP reads
the configuration again, SIGTERM drains. KINESCOPE_LOG=debug says more, KINESCOPE_LOG_FORMAT=json in JSON.";

#[cfg(feature = "demo")]
pub(super) const DEMO: &str = "Examples:
  kinescope demo
  kinescope demo --for 60s --headless";

pub(super) const CHECK: &str = "Examples:
  kinescope check --config kinescope.yaml
  kinescope check --online
  kinescope check --online --json --config kinescope.yaml

JSON: {\"ok\": bool, \"faults\": [{\"where\", \"path\", \"why\"}], \"configuration\": {NAME: TEXT},
\"warnings\": [TEXT], \"checks\": [{\"check\", \"outcome\": \"ok\"|\"failed\"|\"skipped\", \"says\"}]}; `checks` with
--online only. Exit 64 for faults, 1 where a check failed.";

pub(super) const RULES: &str = "Examples:
  kinescope rules
  kinescope rules --json --config kinescope.yaml
  kinescope rules --format prometheus > kinescope.rules.yml
  kinescope rules --replay recording.jsonl --after 10m
  kinescope rules --replay recording.prom --json

JSON: {\"rules\": [{\"name\", \"severity\", \"enabled\", \"stream\", \"consumer\", \"signal\", \"sense\", \"threshold\",
\"clear\", \"for_seconds\", \"keep_firing_for_seconds\"}]}; of a replay {\"notifications\": N, \"notices\": [{\"at\",
\"reason\", \"alerts\": [{\"state\", \"labels\", \"annotations\"}]}]}.";

pub(super) const INJECT: &str = "Examples:
  echo '{\"orderId\":7}' | kinescope inject
  kinescope inject --traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 < envelope.json

The envelope goes to standard output, the verdict to standard error.";

pub(super) const EXTRACT: &str = "Examples:
  kinescope extract < envelope.json
  aws kinesis get-records --shard-iterator \"$IT\" --query 'Records[0].Data' --output text | base64 -d | kinescope extract

JSON: {\"kind\", \"event_type\", \"contexts\": [{\"traceparent\", \"tracestate\"}], \"foreign_context\", \"verdict\"}.";

pub(super) const WAIT: &str = "Examples:
  kinescope wait
  kinescope wait --timeout 30s --admin 127.0.0.1:9590

Exit 0 once it is ready, 1 when it was not in time.";

pub(super) const PROBE: &str = "Examples:
  kinescope probe
  kinescope probe --admin 127.0.0.1:9590

Exit 0 if it is ready, 1 if not: for a startup probe or a health check in an image without curl.";

pub(super) const QUIT: &str = "Examples:
  kinescope quit
  kinescope quit --admin 127.0.0.1:9590

For the end of a Job, whose pod would wait for the sidecar. The address must be this machine's own.";

pub(super) const COMPLETIONS: &str = "Examples:
  kinescope completions bash > /etc/bash_completion.d/kinescope
  kinescope completions zsh > \"${fpath[1]}/_kinescope\"
  kinescope completions fish > ~/.config/fish/completions/kinescope.fish";

pub(super) const MAN: &str = "Examples:
  kinescope man | man -l -
  kinescope man check > kinescope-check.1";
