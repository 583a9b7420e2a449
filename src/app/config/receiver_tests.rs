//! Owns the tests of how receivers are read: every fault, and what is legal but will not work.

use super::{Config, Flags, Kind, load_with};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// The files that there are.
fn open(path: &Path) -> io::Result<String> {
    match path.to_str().unwrap_or_default() {
        "url" => Ok("http://hook.example/x\n".to_owned()),
        "key" => Ok(format!("{KEY}\n{KEY}\n")),
        "word" => Ok("hunter2".to_owned()),
        "empty" => Ok("\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn read(receivers: &str, more: &str) -> Result<Config, String> {
    let text = format!("alerts:\n  receivers:\n{receivers}{more}");
    let file = |path: &Path| if path == "main" { Ok(text.clone()) } else { open(path) };
    let environment = BTreeMap::from([("OTEL_SERVICE_NAME".to_owned(), "x".to_owned())]);
    load_with(Some(Path::new("main")), &environment, &Flags::default(), &file)
        .map_err(|faults| faults.to_string())
}

fn check(receivers: &str, expected: &[&str]) {
    let told = read(receivers, "").map(|config| config.alerts).unwrap_err();
    let told: Vec<&str> = told.lines().skip(1).map(|line| line.trim_start()).collect();
    let expected: Vec<String> = expected.iter().map(|line| format!("main:{line}")).collect();
    assert_eq!(told, expected);
}

#[test]
fn every_kind_is_read() {
    let config = read(
        "    - { name: a, webhook: { url: 'http://h/x', secret_file: key }, fallback: e, fallback_after: 1m }\n    \
         - { name: b, alertmanager: { url_file: url, token_file: word } }\n    \
         - { name: c, slack: { url_file: url }, direct: true }\n    \
         - { name: d, pagerduty: { routing_key_file: word }, direct: true }\n    \
         - { name: e, teams: { url_file: url }, direct: true }\n",
        "",
    )
    .unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let receivers = &config.alerts.receivers;
    let kinds: Vec<&str> = receivers.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["webhook", "alertmanager", "slack", "pagerduty", "teams"]);
    assert_eq!(receivers[0].fallback.as_deref(), Some("e"));
    assert_eq!(receivers[0].fallback_after, Duration::from_secs(60));
    let Kind::PagerDuty { url, .. } = &receivers[3].kind else { panic!("{receivers:?}") };
    assert!(
        format!("{receivers:?}").matches("[secret]").count() >= 2
            && !format!("{url:?}").contains("pagerduty")
    );
}

#[test]
fn faults_are_told_all_at_once() {
    let kinds = "`webhook`, `alertmanager`, `slack`, `pagerduty`, `teams`";
    check(
        "    - { name: a, webhook: { url: 'a b', secret_fil: /x } }\n    \
         - { name: a, webhook: {} }\n    - { name: b, slack: { url: 1 } }\n    \
         - { name: c, webhook: { url: 'http://a', url_file: x } }\n    - 3\n    - {}\n    \
         - { name: d, slack: { url_file: x }, teams: { url_file: x } }\n    \
         - { name: e, pagerduty: { url: 'http://a' } }\n",
        &[
            "3:34: alerts.receivers[0].webhook.url: should be an http or https URL without user \
             and password, such as http://localhost:4566",
            "3:41: alerts.receivers[0].webhook.secret_fil: unknown key; did you mean `secret_file`?",
            "4:15: alerts.receivers[1].name: should differ from every other receiver's",
            "4:27: alerts.receivers[1].webhook: should have exactly one of `url` and `url_file`",
            "5:32: alerts.receivers[2].slack.url: should be an http or https URL without user \
             and password, such as http://localhost:4566",
            "6:27: alerts.receivers[3].webhook: should have exactly one of `url` and `url_file`",
            "7:7: alerts.receivers[4]: should be a map of keys and values",
            "8:7: alerts.receivers[5]: should have a `name`",
            &format!("8:7: alerts.receivers[5]: should have exactly one of {kinds}"),
            &format!("9:7: alerts.receivers[6]: should have exactly one of {kinds}"),
            "10:29: alerts.receivers[7].pagerduty: should have exactly one of `routing_key` and \
             `routing_key_file`",
        ],
    );
}

#[test]
fn fallbacks_are_others() {
    check(
        "    - { name: a, webhook: { url: 'http://h/x' }, fallback: nobody }\n    \
         - { name: b, webhook: { url: 'http://h/x' }, fallback: c }\n    \
         - { name: c, webhook: { url: 'http://h/x' }, fallback: b }\n",
        &[
            "3:60: alerts.receivers[0].fallback: should be the name of another receiver",
            "4:60: alerts.receivers[1].fallback: leads back to a receiver that it is the fallback of",
            "5:60: alerts.receivers[2].fallback: leads back to a receiver that it is the fallback of",
        ],
    );
}

#[test]
fn what_will_not_work_is_warned_of_and_not_shown() {
    let receivers = "    - { name: a, webhook: { url_file: word, secret_file: word } }\n    \
                     - { name: b, alertmanager: { url_file: nowhere, token_file: empty } }\n    \
                     - { name: c, slack: { url_file: url } }\n    \
                     - { name: d, pagerduty: { routing_key_file: empty } }\n";
    let config = read(receivers, "").unwrap();
    let begins: Vec<String> = config
        .warnings
        .iter()
        .map(|w| w.split_whitespace().take(5).collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "receiver a: webhook.url_file does not",
        "receiver a: webhook.secret_file holds a",
        "receiver b: alertmanager.url_file cannot be",
        "receiver b: alertmanager.token_file is empty",
        "receiver c: without a hub",
        "receiver d: without a hub",
        "receiver d: pagerduty.routing_key_file is empty",
    ];
    assert_eq!(begins, expected);
    assert!(!config.warnings.join("").contains("hunter2"));
    let hub = read(receivers, "hub: { endpoint: 'http://hub:4595' }\n").unwrap();
    assert_eq!(hub.warnings.iter().filter(|w| w.contains("without a hub")).count(), 0);
}
