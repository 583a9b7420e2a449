//! Owns the proof that the program itself keeps its promises: exit codes, and where it says what.

#![expect(clippy::expect_used, reason = "a test ends where it cannot go on")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn kinescope(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    with_input(arguments, variables, b"")
}

fn with_input(
    arguments: &[&str],
    variables: &[(&str, &str)],
    input: &[u8],
) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinescope"));
    let mut program = command
        .env_clear()
        .envs(variables.iter().copied())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that does not read its input may be gone already.
    let _gone = program.stdin.take().expect("a pipe").write_all(input);
    let Output { status, stdout, stderr } = program.wait_with_output().expect("the program ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

#[test]
fn a_faulty_file_is_told_all_at_once() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("faulty.yaml");
    let text = "rol: hub\nproxy:\n  propagation: maybe\nadmin: { listen: [hunter2] }\n";
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("text");
    for command in ["run", "check"] {
        let variables = [("KINESCOPE_REGION", "EU")];
        let (code, out, err) = kinescope(&[command, "--config", file], &variables);
        assert_eq!((code, out.as_str()), (64, ""), "{err}");
        let expected = format!(
            "kinescope: 4 faults in the configuration\n  \
             {file}:1:1: rol: unknown key; did you mean `role`?\n  \
             {file}:3:16: proxy.propagation: should be one of: auto, off\n  \
             {file}:4:19: admin.listen[0]: should be an address and a port, such as \
             127.0.0.1:4590 or \"[::1]:4590\"\n  \
             KINESCOPE_REGION: region: should be a region's name, such as us-east-1\n"
        );
        assert_eq!(err, expected);
    }
}

#[test]
fn a_port_in_use_is_said_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let check = |variable: &str| {
        let variables = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("OTEL_SERVICE_NAME", "mail"),
            ("KINESCOPE_STATE", "null"),
            ("KINESCOPE_PROXY__LISTEN", "127.0.0.1:0"),
            ("KINESCOPE_ADMIN__LISTEN", "127.0.0.1:0"),
            (variable, address.as_str()),
        ];
        let (code, out, err) = kinescope(&["run"], &variables);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        let last = err.lines().last().unwrap_or_default();
        for expected in
            [address.as_str(), "in use", "another program has this port: end it, or choose"]
        {
            assert!(last.contains(expected), "{expected}: {err}");
        }
    };
    check("KINESCOPE_PROXY__LISTEN");
    check("KINESCOPE_ADMIN__LISTEN");
}

#[test]
fn a_good_configuration_is_told_with_its_bound() {
    let (code, out, err) = kinescope(&["check", "--role", "hub"], &[("OTEL_SERVICE_NAME", "mail")]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("OK\n  role            hub\n  service         mail\n"), "{out}");
    assert!(out.contains("  memory at most  "), "{out}");
}

#[test]
fn exit_codes() {
    let check = |arguments: &[&str], expected| {
        let (code, _, err) = kinescope(arguments, &[]);
        assert_eq!(code, expected, "{arguments:?}: {err}");
    };
    check(&["--version"], 0);
    check(&["--help"], 0);
    check(&[], 64);
    check(&["rnu"], 64);
    check(&["wait", "--timeout", "soon"], 64);
    check(&["check", "--config", "/nowhere/at/all"], 64);
    // Port 1 of loopback: nobody listens there.
    check(&["probe", "--admin", "127.0.0.1:1"], 1);
    check(&["quit", "--admin", "127.0.0.1:1"], 1);
    check(&["wait", "--timeout", "0s", "--admin", "127.0.0.1:1"], 1);
}

#[cfg(feature = "demo")]
#[test]
fn the_demos_incidents_are_chosen_by_name() {
    let names = [
        "slow-consumer",
        "stopped-consumer",
        "hot-key",
        "throttled-writes",
        "poison-event",
        "resharding",
        "retention",
    ];
    let (code, help, _) = kinescope(&["demo", "--help"], &[]);
    assert_eq!(code, 0);
    for name in names {
        assert!(help.contains(&format!("- {name}: ")), "{name} is not in\n{help}");
        // Each is known; the time is short for all of them.
        let (code, out, err) = kinescope(&["demo", "--scenario", name, "--for", "1s"], &[]);
        assert_eq!((code, out.as_str()), (64, ""), "{err}");
        assert!(err.starts_with(&format!("kinescope: {name} needs ")), "{err}");
    }
    let unknown = ["demo", "--scenario", "hot-key,flood", "--for", "1s"];
    let (code, out, err) = kinescope(&unknown, &[]);
    assert_eq!((code, out.as_str()), (64, ""), "{err}");
    assert!(err.contains("'flood'") && err.contains("throttled-writes"), "{err}");
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn inject_adds_context_or_says_why_not() {
    let check = |arguments: &[&str], input: &str, expected: &str, verdict: &str| {
        let arguments = [&["inject"], arguments].concat();
        let (code, out, err) = with_input(&arguments, &[], input.as_bytes());
        assert_eq!((code, out.as_str()), (0, expected), "{err}");
        assert_eq!(err, format!("kinescope: {verdict}\n"));
    };
    let with = format!("{{\"traceparent\"   :\"{PARENT}\",\"a\":1.0}}");
    check(&["--traceparent", PARENT], "{\"a\":1.0}", &with, "injected");
    check(&[], &with, &with, "context_present");
    check(&[], "[1]\n", "[1]\n", "not_object");
    check(&[], "", "", "empty");
    let state = ["--traceparent", PARENT, "--tracestate", "a=1"];
    let with = format!("{{\"traceparent\"   :\"{PARENT}\",\"tracestate\":\"a=1\"}}\n");
    check(&state, "{}\n", &with, "injected");
}

#[test]
fn extract_shows_what_inject_added() {
    let (_, out, _) = with_input(&["inject"], &[], b"{\"eventType\":\"OrderPlaced\",\"secret\":1}");
    let (code, shown, err) = with_input(&["extract"], &[], out.as_bytes());
    assert_eq!((code, err.as_str()), (0, ""));
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["event_type"], "OrderPlaced");
    assert_eq!(shown["verdict"], "context_present");
    let context = shown["contexts"][0]["traceparent"].as_str().expect("a context");
    assert!(out.contains(context) && context.ends_with("-03"), "{context}");
    assert!(!shown.to_string().contains("secret"), "{shown}");
}

#[test]
fn envelopes_that_cannot_be_read() {
    let large = vec![b' '; (10 << 20) + 1];
    for command in ["inject", "extract"] {
        let (code, out, err) = with_input(&[command], &[], &large);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("10 MiB"), "{err}");
    }
    let (code, ..) = kinescope(&["inject", "--traceparent", "00-hunter2"], &[]);
    assert_eq!(code, 64);
    assert_eq!(kinescope(&["inject", "--tracestate", "a=1"], &[]).0, 64);
}

#[test]
fn check_online_says_what_failed() {
    let variables = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_REGION", "us-east-1"),
        ("OTEL_SERVICE_NAME", "mail"),
        ("KINESCOPE_STATE", "null"),
        // Port 1 of loopback: nobody listens there.
        ("KINESCOPE_PROXY__UPSTREAM__ENDPOINT", "http://127.0.0.1:1"),
        ("KINESCOPE_OTLP__ENDPOINT", "http://127.0.0.1:1"),
    ];
    let (code, out, err) = kinescope(&["check", "--online"], &variables);
    assert_eq!(code, 1, "{out}{err}");
    let line = |start: &str| out.lines().find(|line| line.starts_with(start));
    for start in ["OK", "failed   credentials", "failed   upstream", "failed   otlp"] {
        assert!(line(start).is_some(), "{start}: {out}");
    }
    for start in
        ["skipped  streams", "skipped  tls", "skipped  hub", "skipped  receivers", "skipped  state"]
    {
        assert!(line(start).is_some(), "{start}: {out}");
    }
    assert!(err.contains("3 of the checks failed"), "{err}");
    // The same for a script, with a hub that is not there.
    let hub = ("KINESCOPE_HUB__ENDPOINT", "http://127.0.0.1:1");
    let (code, out, err) =
        kinescope(&["check", "--online", "--json"], &[&variables[..], &[hub]].concat());
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    let shown: serde_json::Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!(shown["ok"], false);
    assert_eq!(shown["configuration"]["service"], "mail");
    let checks = shown["checks"].as_array().expect("the checks");
    let of = |what: &str| {
        let check = checks.iter().find(|check| check["check"] == what).expect("a check");
        (check["outcome"].as_str().unwrap_or_default(), check["says"].as_str().unwrap_or_default())
    };
    assert_eq!(of("state"), ("skipped", "memory only"));
    let (outcome, says) = of("hub");
    assert!(outcome == "failed" && says.contains("is a hub there (role hub)"), "{says}");
}

#[test]
fn check_tells_a_script_what_it_tells_a_person() {
    let check = |arguments: &[&str], variables: &[(&str, &str)], code: i32| {
        let arguments = [&["check", "--json"], arguments].concat();
        let (ended, out, err) = kinescope(&arguments, variables);
        assert_eq!((ended, err.as_str()), (code, ""), "{out}");
        let shown: serde_json::Value = serde_json::from_str(&out).expect("one JSON object");
        assert_eq!(shown["ok"], code == 0);
        assert!(shown.get("checks").is_none(), "nothing was tried: {out}");
        shown
    };
    let good = check(&["--role", "hub"], &[("OTEL_SERVICE_NAME", "mail")], 0);
    assert_eq!(good["configuration"]["role"], "hub");
    assert_eq!(good["faults"], serde_json::json!([]));
    let bad = check(&[], &[("KINESCOPE_REGION", "EU"), ("KINESCOPE_ROLE", "hunter2")], 64);
    let fault = &bad["faults"][0];
    assert_eq!((&fault["where"], &fault["path"]), (&"KINESCOPE_REGION".into(), &"region".into()));
    assert_eq!(bad["faults"].as_array().map(Vec::len), Some(2));
    assert!(!bad.to_string().contains("hunter2"), "{bad}");
    let export = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318");
    let bad = check(&[], &[("OTEL_SERVICE_NAME", "mail"), endpoint, export], 64);
    assert_eq!(bad["faults"][0]["path"], "otlp");
}

#[test]
fn rules_tell_a_script_what_they_tell_a_person() {
    let json = |arguments: &[&str]| {
        let (code, out, err) = kinescope(&[&["rules", "--json"], arguments].concat(), &[]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        serde_json::from_str::<serde_json::Value>(&out).expect("one JSON object")
    };
    let rules = json(&[]);
    let rules = rules["rules"].as_array().expect("rules");
    let (_, lines, _) = kinescope(&["rules"], &[]);
    assert_eq!(rules.len(), lines.lines().count());
    let high =
        rules.iter().find(|rule| rule["name"] == "KinesisConsumerLagHigh").expect("built in");
    assert_eq!(high["signal"], "delivery_lag");
    assert_eq!((&high["sense"], &high["for_seconds"]), (&"above".into(), &60.0.into()));
    // Two minutes of a lag of an hour.
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("recording.jsonl");
    let line = |second: u32| {
        let signals = serde_json::json!({ "delivery_lag": 3600 });
        let line =
            serde_json::json!({ "at": second, "stream": "s", "consumer": "c", "signals": signals });
        format!("{line}\n")
    };
    let recording: String = (0..120).step_by(15).map(line).collect();
    std::fs::write(&file, recording).expect("written");
    let file = file.to_str().expect("text");
    let replay = json(&["--replay", file, "--after", "1m"]);
    let notices = replay["notices"].as_array().expect("notices");
    assert_eq!(replay["notifications"], notices.len());
    let alerts: Vec<_> =
        notices.iter().filter_map(|notice| notice["alerts"].as_array()).flatten().collect();
    let fired = |alert: &&&serde_json::Value| {
        alert["state"] == "firing" && alert["labels"]["alertname"] == "KinesisConsumerLagHigh"
    };
    assert_eq!(alerts.iter().filter(fired).count(), 1, "{replay}");
    assert_eq!(kinescope(&["rules", "--json", "--format", "prometheus"], &[]).0, 64);
}

/// A line now and then where there is no terminal; and a failure that says where, why and what to do.
#[test]
fn waiting_is_told() {
    let arguments = ["wait", "--timeout", "3s", "--admin", "127.0.0.1:1"];
    let (code, out, err) = kinescope(&arguments, &[]);
    assert_eq!((code, out.as_str()), (1, ""));
    let lines: Vec<&str> = err.lines().collect();
    let [waiting, failed] = lines[..] else { panic!("{err}") };
    assert!(waiting.starts_with("kinescope: waiting for the service at 127.0.0.1:1: "), "{err}");
    assert!(waiting.ends_with(" s of 3 s"), "{err}");
    for expected in ["127.0.0.1:1", "is it running", "--admin ADDRESS or KINESCOPE_ADMIN__LISTEN"] {
        assert!(failed.contains(expected), "{expected}: {err}");
    }
    assert!(!err.contains('\u{1b}'), "no terminal's codes in a file: {err}");
}

/// A variable that cannot be carried out keeps the service from starting, and `check` says so first;
/// one that can be done without is a warning. Neither is quoted: it may be a secret.
#[test]
fn check_reads_the_exporters_environment() {
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318");
    let check = |variable: (&str, &str), code: i32, said: &str| {
        let variables = [("OTEL_SERVICE_NAME", "mail"), collector, variable];
        let (ended, out, err) = kinescope(&["check"], &variables);
        let all = format!("{out}{err}");
        assert_eq!(ended, code, "{all}");
        assert!(all.contains(said), "{said}: {all}");
        assert!(!all.contains("hunter2"), "{all}");
    };
    let bad = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    check((bad, "http://hunter2@collector"), 64, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT carries");
    let json = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    check(json, 64, "OTEL_EXPORTER_OTLP_PROTOCOL is http/json");
    let file = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/hunter2");
    check(file, 64, "OTEL_EXPORTER_OTLP_CERTIFICATE names a file that cannot be read as PEM");
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2");
    check(headers, 0, "warning: OTEL_EXPORTER_OTLP_HEADERS holds what is not a header");
}

#[test]
fn plan_says_what_traffic_needs() {
    let traffic = ["plan", "--records-per-second", "2500", "--record-size-bytes", "100"];
    let (code, out, err) = kinescope(&traffic, &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    for expected in ["3 shards needed", "on-demand standard", "us-east-1", "to be checked"] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    let (code, out, _) = kinescope(&[&traffic[..], &["--json"]].concat(), &[]);
    let shown: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &shown["shards"]["decided_by"]), (0, &"records_in".into()));
}

#[test]
fn faulty_plans_are_told_all_at_once() {
    let check = |arguments: &[&str], expected: &[&str]| {
        let (code, out, err) = kinescope(&[&["plan"], arguments].concat(), &[]);
        assert_eq!((code, out.as_str()), (64, ""), "{err}");
        assert!(expected.iter().all(|expected| err.contains(expected)), "{err}");
    };
    let traffic = |rate, size| ["--records-per-second", rate, "--record-size-bytes", size];
    check(&traffic("inf", "10485761"), &["--records-per-second", "10 MiB"]);
    check(&[&traffic("1", "1")[..], &["--hours-retained", "23"]].concat(), &["24 to 8760"]);
    check(&[&traffic("1", "1")[..], &["--price", "shard=1"]].concat(), &["no such price"]);
    check(&[&traffic("1", "1")[..], &["--prices", "/nowhere"]].concat(), &["--prices /nowhere"]);
    check(&[&traffic("1", "1")[..], &["--region", "eu-west-1"]].concat(), &["eu-west-1"]);
    check(&["--record-size-bytes", "1"], &["--records-per-second"]);
}

#[test]
fn the_injector_needs_a_certificate() {
    let files = ["--certificate", "/nowhere/tls.crt", "--key", "/nowhere/tls.key"];
    let (code, out, err) = kinescope(&[&["injector"], &files[..]].concat(), &[]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("/nowhere/tls.crt"), "{err}");
    let (code, _, _) = kinescope(&["injector"], &[]);
    assert_eq!(code, 64);
}

#[test]
fn shells_and_man_learn_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, err) = kinescope(&["completions", shell], &[]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("hours-retained") && out.contains("injector"), "{shell}: {out}");
    }
    let check = |arguments: &[&str], title: &str, words: &str| {
        let (code, out, err) = kinescope(&[&["man"], arguments].concat(), &[]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains(&format!(".TH {title}")) && out.contains(words), "{out}");
    };
    check(&[], "KINESCOPE", "injector");
    check(&["plan"], "KINESCOPE-PLAN", "hours\\-retained");
    let (code, _, _) = kinescope(&["man", "rnu"], &[]);
    assert_eq!(code, 64);
}
