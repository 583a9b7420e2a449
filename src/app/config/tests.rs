//! Owns the proof of the reading: snippets and the faults they must give, each with its place.

use super::*;
use crate::domain::alert::builtin::builtin;
use crate::domain::alert::{Missing, Severity, Signal};

/// Reads `text` as `k.yaml`, with these other files, variables (`NAME=value`) and flags.
fn read(
    text: &str,
    files: &[(&str, &str)],
    variables: &[&str],
    flags: &Flags,
) -> Result<Config, Faults> {
    let environment =
        variables.iter().filter_map(|v| v.split_once('=')).map(|(n, v)| (n.into(), v.into()));
    let open = |path: &Path| {
        let mut all = files.iter().copied().chain([("k.yaml", text)]);
        let file = all.find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| text.to_owned()).ok_or(std::io::ErrorKind::NotFound.into())
    };
    sections::read(Some(Path::new("k.yaml")), &environment.collect(), flags, &open)
}

pub(super) fn good(text: &str, variables: &[&str]) -> Config {
    read(text, &[], variables, &Flags::default()).unwrap()
}

/// Every fault of the text and the variables, one a line, without the file's name.
pub(super) fn check(text: &str, variables: &[&str], expected: &[&str]) {
    check_files(text, &[], variables, expected);
}

pub(super) fn check_files(
    text: &str,
    files: &[(&str, &str)],
    variables: &[&str],
    expected: &[&str],
) {
    let faults = read(text, files, variables, &Flags::default()).unwrap_err();
    let lines = faults.0.iter().map(|fault| fault.to_string().replace("k.yaml:", ""));
    assert_eq!(lines.collect::<Vec<_>>(), expected, "{text}");
}

#[test]
fn values_that_are_wrong() {
    check("role: sidecat\n", &[], &["1:7: role: should be one of: sidecar, hub, all"]);
    check(
        "proxy:\n  streams:\n    - match: a\n      propagate: injekt\n    - { propagate: off }\n",
        &[],
        &[
            "4:18: proxy.streams[0].propagate: should be one of: inject, observe, off",
            "5:7: proxy.streams[1]: should have a `match`",
        ],
    );
    check(
        "proxy: [1]\nservice: { name: 12 }\nregion: EU\nexternal_labels: { a-b: c }\n",
        &[],
        &[
            "1:8: proxy: should be a map of keys and values",
            "2:18: service.name: should be text (a number or true/false is put in quotes to be \
             text)",
            "3:9: region: should be a region's name, such as us-east-1",
            "4:25: external_labels.a-b: a label's name should have letters, digits and \
             underscores only",
        ],
    );
    check(
        "cloudwatch: { interval: 60, enabled: maybe }\nproxy: { upstream: { endpoint: 'http://a/b' } }\n",
        &[],
        &[
            "1:25: cloudwatch.interval: should be a duration with its unit, such as 500ms, 60s, \
             5m, 4h or 1d, at most 365d",
            "1:38: cloudwatch.enabled: should be one of: auto, on, off",
            "2:32: proxy.upstream.endpoint: should have no path",
        ],
    );
    check(
        "limits: { body_bytes_max: 1GiB, connections_max: 0, drain: 0s }\n",
        &[],
        &[
            "1:9: limits: body_bytes_max should not be above buffered_bytes_max: one body must fit",
            "1:50: limits.connections_max: should be a whole number from 1 to 1000000000",
            "1:60: limits.drain: should be longer than nothing",
        ],
    );
    check("- 1\n", &[], &["1:1: should be a map of keys and values"]);
    check(
        "admin: { listen: ['127.0.0.1:4590'] }\nproxy: { streams: [], upstream: null }\n\
         external_labels: { stream: a }\n",
        &[],
        &[
            "1:8: admin: `listen` should not have an address of proxy.listen",
            "3:28: external_labels.stream: is a label that every alert has of its own; take \
             another name",
        ],
    );
    check(
        "admin: { listen: [] }\n",
        &[],
        &["1:18: admin.listen: should have at least one address"],
    );
}

#[test]
fn keys_that_are_wrong() {
    check("rol: hub\n", &[], &["1:1: rol: unknown key; did you mean `role`?"]);
    check(
        "proxy:\n  propogation: off\n  zzz: 1\n",
        &[],
        &[
            "2:3: proxy.propogation: unknown key; did you mean `propagation`?",
            "3:3: proxy.zzz: unknown key; known here: listen, tls, apps, propagation, upstream, \
             streams, allow",
        ],
    );
    check("role: hub\nrole: all\n", &[], &["2:1: role: given twice; keep one"]);
}

#[test]
fn words_that_are_not_on_the_list_are_refused() {
    check(
        "metrics: { per_shard: some }\n\
         traces: { create_spans: true, creat_spans: false }\nprivacy: { fields: [eventType, id] }\n\
         cloudwatch: { consumers: maybe }\n",
        &[],
        &[
            "1:23: metrics.per_shard: should be one of: top, all, none",
            "2:31: traces.creat_spans: unknown key; did you mean `create_spans`?",
            "4:26: cloudwatch.consumers: should be true or false",
        ],
    );
}

#[test]
fn no_value_is_quoted() {
    let text = "https://hunter2: 1\nalerts: { receivers: [{ name: a, webhook: { url: hunter2 } }] }\n\
                role: hunter2\nexternal_labels: { 'x hunter2': y }\n";
    let environment = ["KINESCOPE_PROXY__LISTEN=hunter2"];
    let faults = read(text, &[], &environment, &Flags::default()).unwrap_err();
    assert_eq!(faults.0.len(), 5);
    assert!(!faults.to_string().contains("hunter2"), "{faults}");
    let url = "alerts: { receivers: [{ name: a, webhook: { url: 'http://h/hunter2' } }] }";
    let config = good(url, &[]);
    assert!(!format!("{config:?} {:?}", summary(&config)).contains("hunter2"));
}

#[test]
fn rules_that_are_wrong() {
    check_files(
        "alerts:\n  rules:\n    - nowhere.yaml\n    - broken.yaml\n    \
         - { name: KinesisConsumerLagHigh, when: { above: 10s } }\n    \
         - { name: KinesisConsumerLagHihg, when: { signal: lag } }\n    \
         - { name: N, severity: info, for: 1m, when: { signal: stopped, above: 1s } }\n    \
         - { name: N }\n    - { severity: info }\n",
        &[("broken.yaml", "rules:\n  - name: X\n    severty: info\n")],
        &[],
        &[
            "broken.yaml:2:5: rules[0]: a new rule should have severity, when.signal, when.above \
             or when.below, and for; rules that can be overridden in part: KinesisConsumerLagHigh, \
             KinesisConsumerLagCritical, KinesisConsumerFallingBehind, KinesisConsumerStalled, \
             KinesisConsumerStopped, KinesisDataLossImminent, KinesisFreshnessBudgetBurn, \
             KinesisReadThrottled, KinesisWriteThrottled, KinesisPutFailures, KinesisHotShard, \
             KinescopeBypassed, KinesisSagaStuck, KinescopeCloudWatchFailing, \
             KinescopeNotificationFailing, KinescopeWatchdog",
            "broken.yaml:3:5: rules[0].severty: unknown key; did you mean `severity`?",
            "3:7: alerts.rules[0]: the file cannot be read: entity not found",
            "5:7: alerts.rules[2]: `clear_below` should not be higher than `above`",
            "6:7: alerts.rules[3]: a new rule should have severity, when.signal, when.above or \
             when.below, and for; rules that can be overridden in part: KinesisConsumerLagHigh, \
             KinesisConsumerLagCritical, KinesisConsumerFallingBehind, KinesisConsumerStalled, \
             KinesisConsumerStopped, KinesisDataLossImminent, KinesisFreshnessBudgetBurn, \
             KinesisReadThrottled, KinesisWriteThrottled, KinesisPutFailures, KinesisHotShard, \
             KinescopeBypassed, KinesisSagaStuck, KinescopeCloudWatchFailing, \
             KinescopeNotificationFailing, KinescopeWatchdog",
            "6:55: alerts.rules[3].when.signal: should be one of: delivery_lag, stopped, \
             falling_behind, stalled, time_to_data_loss, retention_used, lag_velocity, \
             freshness_burn, read_throttles, write_throttles, put_failures, bypassed, \
             shard_write_utilization, sagas_stuck, cloudwatch_silence, notification_silence, \
             always",
            "7:7: alerts.rules[4]: the signal `stopped` is 0 or 1: its thresholds should be plain \
             numbers",
            "8:15: alerts.rules[5].name: given twice; keep one",
            "9:7: alerts.rules[6]: should have a `name`",
        ],
    );
}

#[test]
fn rules_override_by_name() {
    let text = "alerts:\n  rules:\n    - sub/team.yaml\n    \
                - { name: KinesisConsumerLagHigh, for: 5m }\n";
    let team = "rules:\n  - name: KinesisConsumerLagHigh\n    severity: critical\n    \
                select: { stream: 'orders-*' }\n    when: { above: 2m }\n    for: 3m\n    \
                annotations: { team: payments }\n  - name: Mine\n    severity: info\n    \
                when: { signal: delivery_lag, above: 7.5 }\n    for: 0s\n    missing: fire\n";
    let config = read(text, &[("sub/team.yaml", team)], &[], &Flags::default()).unwrap();
    let rules = &config.alerts.rules;
    let (high, stopped, mine) = (&rules[0], &rules[1], &rules[rules.len() - 1]);
    assert_eq!(rules.len(), builtin().len() + 1);
    assert_eq!((high.severity, high.stream.as_str()), (Severity::Critical, "orders-*"));
    assert_eq!((high.when.threshold, high.when.clear, high.hold.as_secs()), (120.0, 30.0, 300));
    assert_eq!(high.annotations.get("team").map(String::as_str), Some("payments"));
    assert_eq!(*stopped, builtin()[1]);
    assert_eq!(
        (mine.when.signal, mine.when.threshold, mine.when.clear),
        (Signal::DeliveryLag, 7.5, 7.5)
    );
    assert_eq!((mine.missing, mine.consumer.as_str()), (Missing::Fire, "*"));
}

#[test]
fn conditions_have_a_side_and_signals_a_subject() {
    let text = "alerts:\n  rules:\n    - { name: KinescopeWatchdog, enabled: true }\n    \
                - { name: KinesisDataLossImminent, when: { below: 2h, clear_above: 3h } }\n    \
                - { name: KinesisHotShard, select: { stream: 'a-*' }, grace: 10s }\n";
    let config = good(text, &[]);
    let rule = |name: &str| config.alerts.rules.iter().find(|rule| rule.name == name).unwrap();
    assert!(rule("KinescopeWatchdog").enabled);
    let loss = rule("KinesisDataLossImminent").when;
    assert_eq!((loss.threshold, loss.clear), (7_200.0, 10_800.0));
    assert_eq!(rule("KinesisHotShard").grace().as_secs(), 10);
    check(
        "alerts:\n  rules:\n    - { name: KinesisHotShard, select: { consumer: mail } }\n    \
         - { name: KinesisConsumerLagHigh, when: { below: 5s } }\n    \
         - { name: KinesisDataLossImminent, when: { clear_above: 5s } }\n    \
         - { name: KinesisSagaStuck, when: { above: 1, below: 2 } }\n",
        &[],
        &[
            "3:7: alerts.rules[0]: its signal is of a shard of a stream: `select` should not name \
             a consumer",
            "4:7: alerts.rules[1]: the other side of a threshold needs both `below` and \
             `clear_above`",
            "5:7: alerts.rules[2]: `clear_above` should not be lower than `below`",
            "6:7: alerts.rules[3]: `when` should have either `above` or `below`, not both",
        ],
    );
}

#[test]
fn variables_go_over_the_file_and_flags_over_both() {
    let text = "role: hub\nproxy: { propagation: auto, listen: ['127.0.0.1:1'] }\n";
    let variables = [
        "KINESCOPE_PROXY__PROPAGATION=off",
        "KINESCOPE_PROXY__LISTEN=127.0.0.1:2, [::1]:2",
        "KINESCOPE_ROLE=all",
        "KINESCOPE_LIMITS__CONNECTIONS_MAX=7",
        "KINESCOPE_CLOUDWATCH__ENABLED=false",
        "KINESCOPE_TRACES__CREATE_SPANS=false",
        "KINESCOPE_EXTERNAL_LABELS__CLUSTER=prod",
        "KINESCOPE_LOG=debug",
        "KINESCOPE_PORT=tcp://10.0.0.1:4590",
        "KINESCOPE_METRICS__MAX_SERIES=",
        "AWS_DEFAULT_REGION=eu-west-1",
    ];
    let config = good(text, &variables);
    assert_eq!((config.role, config.proxy.propagation), (Role::All, Propagation::Off));
    assert_eq!(config.proxy.listen.len(), 2);
    assert_eq!(config.limits.connections_max, 7);
    assert!(!config.cloudwatch.enabled);
    assert_eq!(config.external_labels, BTreeMap::from([("cluster".into(), "prod".into())]));
    assert_eq!(config.metrics.max_series, 20_000);
    assert_eq!(config.region.as_deref(), Some("eu-west-1"));
    let flags = Flags { role: Some("sidecar".into()), listen: vec!["127.0.0.1:3".into()] };
    let config = read(text, &[], &variables, &flags).unwrap();
    assert_eq!((config.role, config.proxy.listen[0].port()), (Role::Sidecar, 3));
}

#[test]
fn variables_that_are_wrong() {
    check(
        "role: hub\n",
        &[
            "KINESCOPE_PROXY__PROPAGATION=maybe",
            "KINESCOPE_PROXY_LISTEN=x",
            "KINESCOPE_ADMIN__LISTN=x",
            "KINESCOPE_ADMIN__LISTEN=127.0.0.1:1,y",
            "KINESCOPE_ALERTS__RECEIVERS=x",
            "KINESCOPE_PRIVACY__FIELDS=x",
        ],
        &[
            "KINESCOPE_ADMIN__LISTEN: admin.listen: every item should be an address and a port, \
             such as 127.0.0.1:4590 or \"[::1]:4590\"",
            "KINESCOPE_ADMIN__LISTN: admin.listn: unknown key; did you mean `listen`? (levels are \
             separated by two underscores)",
            "KINESCOPE_ALERTS__RECEIVERS: alerts.receivers: should be a list",
            "KINESCOPE_PROXY_LISTEN: proxy_listen: unknown key; known here: role, admin, service, \
             region, external_labels, hub, proxy, cloudwatch, leases, otlp, traces, privacy, \
             metrics, alerts, state, limits (levels are separated by two underscores)",
            "KINESCOPE_PROXY__PROPAGATION: proxy.propagation: should be one of: auto, off",
        ],
    );
}

#[test]
fn where_otlp_is_heard_follows_from_the_role() {
    let check = |text: &str, expected: &[&str]| {
        let heard: Vec<String> =
            good(text, &[]).otlp.receive.iter().map(ToString::to_string).collect();
        assert_eq!(heard, expected, "{text}");
    };
    check("", &[]);
    check("role: hub\n", &["[::]:4595"]);
    check("role: all\n", &["[::]:4595"]);
    check("otlp: { receive: { listen: ['127.0.0.1:9'] } }\n", &["127.0.0.1:9"]);
    check("role: hub\notlp: { receive: { listen: ['127.0.0.1:9'] } }\n", &["127.0.0.1:9"]);
}

#[test]
fn a_hub_is_a_sidecars_to_name() {
    let text = "hub: { endpoint: 'http://hub:4595' }\nprivacy: { key_file: /etc/key }\n";
    let config = good(text, &["OTEL_SERVICE_NAME=x"]);
    assert_eq!(config.hub_endpoint.as_deref(), Some("http://hub:4595"));
    assert_eq!(config.privacy.key_file, Some(PathBuf::from("/etc/key")));
    assert_eq!(config.warnings, [""; 0]);
    let hub = good(&format!("role: hub\n{text}"), &["OTEL_SERVICE_NAME=x"]);
    assert_eq!((hub.hub_endpoint, hub.warnings.len()), (None, 1));
    check(
        "hub: { endpoint: 'hub:4595' }\nadmin: { listen: ['[::]:4595'] }\n\
         otlp: { receive: { listen: ['127.0.0.1:4595'] } }\n",
        &[],
        &[
            "1:18: hub.endpoint: should be an http or https URL without user and password, such as \
             http://localhost:4566",
            "2:8: admin: `listen` should not have an address of otlp.receive.listen",
        ],
    );
}

#[test]
fn nothing_written_is_the_defaults() {
    let config = good("", &[]);
    assert_eq!(config, good("role: null\nproxy: ~\nalerts: {}\n", &[]));
    assert_eq!((config.role, config.service_name.as_str()), (Role::Sidecar, "unknown"));
    assert_eq!(config.warnings.len(), 1);
    assert_eq!(
        config.alerts,
        Alerts { rules: builtin(), receivers: Vec::new(), alerting: Alerting::default() }
    );
    assert_eq!(config.limits, Limits::default());
    // A hub of ten thousand streams, within the memory that `check` tells of.
    assert_eq!(good("role: hub", &[]).limits.engine.streams_max, 10_000);
    let state = |limits: Limits| limits.memory().map(|(_, bytes)| bytes >> 20)[4];
    assert_eq!((state(Limits::of(Role::Sidecar)), state(Limits::of(Role::Hub))), (76, 93));
    assert!(!config.cloudwatch.enabled && good("role: hub", &[]).cloudwatch.enabled);
    assert_eq!(good("", &["OTEL_SERVICE_NAME=x"]).warnings, Vec::<String>::new());
    let memory = summary(&config).pop();
    assert_eq!(memory.map(|(name, _)| name).as_deref(), Some("memory at most"));
}

/// CONTRACT section 3, with what this version does not carry out left at its default.
#[test]
fn the_contract_is_read() {
    let config = good(include_str!("contract.yaml"), &[]);
    assert_eq!(config.service_name, "inventory");
    // The two files of its webhook are on no machine that tests run on.
    assert!(config.warnings.iter().all(|warning| warning.contains("cannot be read")));
    assert_eq!(config.proxy.streams[0].pattern, "orders-*");
    assert_eq!(config.otlp.protocol, Some(OtlpProtocol::HttpProtobuf));
    let names: Vec<_> = config.alerts.receivers.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(names, ["webhook", "alertmanager"]);
    let plain = good("service: { name: inventory }\nregion: us-east-1\n", &[]);
    assert_eq!((config.limits, config.admin), (plain.limits, plain.admin));
    assert_eq!((config.cloudwatch, config.state), (plain.cloudwatch, plain.state));
    let proxy = Proxy { streams: plain.proxy.streams, ..config.proxy };
    assert_eq!(proxy, Proxy { streams: Vec::new(), ..plain.proxy });
}

#[test]
fn spans_go_to_one_place() {
    let xray = good("otlp: { xray: true }", &[]);
    assert!(xray.otlp.xray && !good("", &[]).otlp.xray);
    let said = summary(&xray).into_iter().find(|(name, _)| name == "otlp");
    assert_eq!(said.map(|(_, value)| value).as_deref(), Some("X-Ray"));
    let both = "otlp: { xray: true, endpoint: \"http://localhost:4318\" }";
    let either = "spans go either to X-Ray or to otlp.endpoint; leave one of them out";
    check(both, &[], &[&format!("1:15: otlp.xray: {either}")]);
    let grpc = "otlp: { xray: true, protocol: grpc }";
    check(grpc, &[], &["1:15: otlp.xray: X-Ray takes no gRPC; leave otlp.protocol out"]);
    check("otlp: { xray: maybe }", &[], &["1:15: otlp.xray: should be true or false"]);
}
