//! Owns the proof of how the data plane's keys are read: what each means, and every fault.

use super::tests::{check, check_files, good};
use super::*;
use crate::domain::envelope::aggregate::Aggregated;

fn proxy(text: &str, variables: &[&str]) -> Proxy {
    good(&format!("proxy: {text}"), variables).proxy
}

#[test]
fn tls() {
    assert_eq!(proxy("{}", &[]).tls, None);
    let made = proxy("{ tls: { enabled: true } }", &[]).tls.unwrap();
    assert_eq!((made.listen[0].port(), made.certificate, made.key), (4591, None, None));
    // The files of a listener that is switched off need not be there.
    assert_eq!(proxy("{ tls: { certificate: /no } }", &[]).tls, None);
    let variables = ["KINESCOPE_PROXY__TLS__ENABLED=true", "KINESCOPE_PROXY__TLS__LISTEN=[::1]:1"];
    assert_eq!(proxy("{}", &variables).tls.unwrap().listen[0].port(), 1);
    check(
        "proxy: { tls: { enabled: true, certificate: /no } }\n",
        &[],
        &[
            "1:15: proxy.tls: should have a `key` to its `certificate`",
            "1:45: proxy.tls.certificate: the file cannot be read: entity not found",
        ],
    );
    check_files(
        "proxy:\n  tls: { enabled: true, key: tls.key, lisen: [] }\n",
        &[("tls.key", "hunter2")],
        &[],
        &[
            "2:8: proxy.tls: should have a `certificate` to its `key`",
            "2:39: proxy.tls.lisen: unknown key; did you mean `listen`?",
        ],
    );
    check(
        "proxy: { tls: { enabled: yes, listen: [] } }\n",
        &[],
        &[
            "1:26: proxy.tls.enabled: should be true or false",
            "1:39: proxy.tls.listen: should have at least one address",
        ],
    );
}

#[test]
fn apps() {
    let text = "{ apps: [{ name: orders, listen: '127.0.0.1:4600' }, \
                { name: mail.v2, listen: ['127.0.0.1:4601', '[::1]:4601'] }] }";
    let apps = proxy(text, &[]).apps;
    let seen: Vec<_> = apps.iter().map(|app| (app.name.as_str(), app.listen.len())).collect();
    assert_eq!(seen, [("orders", 1), ("mail.v2", 2)]);
    check(
        "proxy:\n  apps:\n    - { name: a/b, listen: '127.0.0.1:4590' }\n    \
         - { name: a, listen: '127.0.0.1:1' }\n    - { name: a, listen: '[::1]:1' }\n    \
         - {}\n    - 3\n",
        &[],
        &[
            "3:15: proxy.apps[0].name: should be 1 to 64 letters, digits and `_.-`, beginning \
             with a letter or digit",
            "3:28: proxy.apps[0].listen: should have a port that no other listener of the data \
             plane has",
            "5:15: proxy.apps[2].name: should differ from every other app's",
            "5:26: proxy.apps[2].listen: should have a port that no other listener of the data \
             plane has",
            "6:7: proxy.apps[3]: should have a `listen`",
            "6:7: proxy.apps[3]: should have a `name`",
            "7:7: proxy.apps[4]: should be a map of keys and values",
        ],
    );
    check(
        "proxy: {}\n",
        &["KINESCOPE_PROXY__APPS=x"],
        &["KINESCOPE_PROXY__APPS: proxy.apps: should be a list"],
    );
}

#[test]
fn ports_are_given_once() {
    check(
        "proxy: { tls: { enabled: true, listen: ['127.0.0.1:4590'] } }\n\
         admin: { listen: ['127.0.0.1:4590'] }\n",
        &[],
        &[
            "1:40: proxy.tls.listen: should have a port that no other listener of the data plane \
             has",
            "2:8: admin: `listen` should not have an address of proxy.listen",
            "2:8: admin: `listen` should not have an address of proxy.tls.listen",
        ],
    );
    check(
        "admin: { listen: ['[::]:7'] }\nproxy: { apps: [{ name: a, listen: '127.0.0.1:7' }] }\n",
        &[],
        &["1:8: admin: `listen` should not have an address of proxy.apps"],
    );
    assert_eq!(proxy("{ tls: { listen: ['127.0.0.1:4590'] } }", &[]).tls, None);
}

#[test]
fn beyond_loopback_is_warned_of() {
    let text = "proxy: { listen: ['10.0.0.1:1'], tls: { enabled: true, listen: ['0.0.0.0:2'] }, \
                apps: [{ name: a, listen: '[::]:3' }] }\nservice: { name: a }\n";
    let config = good(text, &[]);
    assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
}

#[test]
fn endpoints_of_kinesis() {
    let read = |text: &str, variables: &[&str]| {
        let proxy = proxy(text, variables);
        (proxy.fips, proxy.dual_stack)
    };
    let environment = ["AWS_USE_FIPS_ENDPOINT=TRUE", "AWS_USE_DUALSTACK_ENDPOINT=true"];
    assert_eq!(read("{}", &[]), (false, false));
    assert_eq!(read("{ upstream: { fips: true } }", &[]), (true, false));
    assert_eq!(read("{}", &environment), (true, true));
    assert_eq!(read("{ upstream: { fips: false } }", &environment), (false, true));
    assert_eq!(read("{}", &["KINESCOPE_PROXY__UPSTREAM__DUAL_STACK=true"]), (false, true));
    let why = "should not be true together with `endpoint`: it chooses among Kinesis's own \
               endpoints, and a given one is called as it is";
    check(
        "proxy: { upstream: { endpoint: 'http://a', dual_stack: true } }\n",
        &["AWS_USE_FIPS_ENDPOINT=true"],
        &[
            &format!("1:56: proxy.upstream.dual_stack: {why}"),
            &format!("AWS_USE_FIPS_ENDPOINT: proxy.upstream.fips: {why}"),
        ],
    );
    check(
        "proxy: {}\n",
        &["AWS_USE_FIPS_ENDPOINT=hunter2"],
        &["AWS_USE_FIPS_ENDPOINT: proxy.upstream.fips: should be true or false"],
    );
}

#[test]
fn the_proxy_on_the_way() {
    let check = |text: &str, variables: &[&str], expected: Option<&str>, no: Option<&str>| {
        let proxy = proxy(text, variables);
        let address = proxy.upstream_proxy.as_ref().map(|address| address.reveal());
        assert_eq!((address, proxy.no_proxy.as_deref()), (expected, no), "{text} {variables:?}");
    };
    let written = "{ upstream: { proxy: 'http://u:p@proxy:1' } }";
    check("{}", &["NO_PROXY=a"], None, None);
    check("{}", &["HTTPS_PROXY=http://p:1", "NO_PROXY=a,b"], Some("http://p:1"), Some("a,b"));
    check("{}", &["https_proxy=p:1", "no_proxy=*"], Some("http://p:1"), Some("*"));
    check("{}", &["HTTPS_PROXY=", "https_proxy=http://q"], Some("http://q"), None);
    // What is written is meant for all of upstream.
    check(written, &["HTTPS_PROXY=http://p", "NO_PROXY=a"], Some("http://u:p@proxy:1"), None);
    check("{}", &["HTTPS_PROXY=socks5://p:1", "NO_PROXY=a"], None, None);

    let named = "service: { name: a }\n";
    assert_eq!(good(named, &["HTTPS_PROXY=http://p"]).warnings, Vec::<String>::new());
    let warnings = good(named, &["HTTPS_PROXY=socks5://hunter2"]).warnings.join("\n");
    assert!(warnings.starts_with("HTTPS_PROXY should be an http"), "{warnings}");
    assert!(!warnings.contains("hunter2"), "{warnings}");
    let shown = good(&format!("proxy: {written}"), &[]);
    let shown = format!("{shown:?} {:?}", summary(&shown));
    assert!(!shown.contains("u:p") && shown.contains("the proxy at proxy:1"), "{shown}");
    super::tests::check(
        "proxy: { upstream: { proxy: 'hunter2' } }\n",
        &[],
        &["1:29: proxy.upstream.proxy: should be an http or https URL of a proxy, such as \
         http://proxy.internal:3128"],
    );
}

#[test]
fn policies_of_streams() {
    let text = "{ streams: [{ match: a, propagate: observe, deliver: strip, propagate_percent: 0, \
                aggregated: json, max_record_bytes: 2MiB }, { match: b }] }";
    let expected = StreamPolicy {
        pattern: "a".to_owned(),
        propagate: Propagate::Observe,
        deliver: Deliver::Strip,
        propagate_percent: 0,
        aggregated: Aggregated::Json,
        max_record_bytes: Some(2 << 20),
    };
    let default = StreamPolicy { pattern: "b".to_owned(), ..StreamPolicy::default() };
    assert_eq!(proxy(text, &[]).streams, [expected, default]);
    check(
        "proxy:\n  streams:\n    - { match: a, deliver: stripped, propagate_percent: 101 }\n    \
         - { match: b, aggregated: tag, max_record_bytes: 11MiB }\n    \
         - { match: c, propagate_percent: -1, max_record_bytes: 0 }\n    \
         - { match: d, propagate_percent: 12.5, max_record_byte: 1 }\n",
        &[],
        &[
            "3:28: proxy.streams[0].deliver: should be one of: keep, strip",
            "3:57: proxy.streams[0].propagate_percent: should be a whole number from 0 to 100",
            "4:31: proxy.streams[1].aggregated: should be one of: tags, json, off",
            "4:54: proxy.streams[1].max_record_bytes: should be at most 10MiB, the largest record \
             that Kinesis takes",
            "5:38: proxy.streams[2].propagate_percent: should be a whole number from 0 to 100",
            "5:60: proxy.streams[2].max_record_bytes: should be a size such as 512KiB, 16MiB or \
             1GiB, or a number of bytes, at most 64GiB",
            "6:38: proxy.streams[3].propagate_percent: should be a whole number from 0 to 100",
            "6:44: proxy.streams[3].max_record_byte: unknown key; did you mean `max_record_bytes`?",
        ],
    );
}

#[test]
fn who_may_do_what() {
    let text = "{ allow: { access_keys: [AKIA1], streams: ['orders-*'], operations: ['Get*'] } }";
    let allow = proxy(text, &["KINESCOPE_PROXY__ALLOW__ACCESS_KEYS=ASIA2, test_3"]).allow;
    assert_eq!((allow.access_keys.len(), allow.streams.len()), (2, 1));
    assert_eq!(proxy("{}", &[]).allow, Allow::default());
    check(
        "proxy:\n  allow:\n    access_keys: ['a/b+c', '']\n    streams: ['']\n    \
         operation: []\n    operations: [{}]\n",
        &[],
        &[
            "3:19: proxy.allow.access_keys[0]: should be an access key id (never the secret key): \
             letters, digits and `_`",
            "3:28: proxy.allow.access_keys[1]: should be an access key id (never the secret key): \
             letters, digits and `_`",
            "4:15: proxy.allow.streams[0]: should be a name in which `*` stands for any text and \
             `?` for one character",
            "5:5: proxy.allow.operation: unknown key; did you mean `operations`?",
            "6:18: proxy.allow.operations[0]: should be a name in which `*` stands for any text \
             and `?` for one character",
        ],
    );
    let text = "service: { name: a }\nproxy: { allow: { operations: [PutRecrd, 'Put*', hunter2, \
                'Got*'] } }\n";
    assert_eq!(
        good(text, &[]).warnings,
        [
            "proxy.allow.operations[0] matches no operation that is known here; did you mean \
         `PutRecord`?",
            "proxy.allow.operations[2] matches no operation that is known here",
            "proxy.allow.operations[3] matches no operation that is known here",
        ]
    );
}

#[test]
fn where_state_is_kept() {
    let check = |text: &str, variables: &[&str], expected: Option<&str>| {
        assert_eq!(good(text, variables).state, expected.map(PathBuf::from), "{text}");
    };
    check("", &[], Some("/var/lib/kinescope"));
    check("state: null\n", &[], None);
    check("state: /data\n", &[], Some("/data"));
    check("state: /data\n", &["KINESCOPE_STATE=null"], None);
    check("state: null\n", &["KINESCOPE_STATE=/x"], Some("/x"));
    super::tests::check(
        "state: ''\n",
        &["KINESCOPE_ADMIN__TOKEN_FIL=x"],
        &[
            "1:8: state: should be a folder's path, or null for memory only",
            "KINESCOPE_ADMIN__TOKEN_FIL: admin.token_fil: unknown key; did you mean `token_file`? \
         (levels are separated by two underscores)",
        ],
    );
}

#[test]
fn the_summary_says_what_is_not_default() {
    let text = "proxy: { tls: { enabled: true }, streams: [{ match: a, propagate_percent: 5, \
                deliver: strip, aggregated: off }], allow: { access_keys: [AKIA1], streams: [b] } }\n";
    let shown = summary(&good(text, &[]));
    let check = |name: &str, expected: &str| {
        let value = shown.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(value, Some(expected));
    };
    check("tls", "127.0.0.1:4591, certificate made at start");
    check("propagation", "a=inject 5 % strip aggregated=off, else inject");
    check("allowed", "access keys: 1; streams: b");
    check("state", "/var/lib/kinescope");
    check("apps", "none");
}
