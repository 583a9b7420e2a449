//! Owns the tests of how the environment is read.

use super::*;

type Vars<'a> = &'a [(&'a str, &'a str)];

fn read(vars: Vars<'_>, configured: Configured<'_>) -> Result<Reading, Vec<Fault>> {
    let get = |name: &str| {
        vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    };
    from_environment(get, configured)
}

fn config(vars: Vars<'_>, configured: Configured<'_>) -> (Config, Vec<Fault>) {
    let reading = read(vars, configured).unwrap();
    let Export::On(config) = reading.export else { panic!("{reading:?}") };
    (*config, reading.warnings)
}

const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

#[test]
fn addresses() {
    let check = |vars: Vars<'_>, file, protocol, expected: &str| {
        let configured = Configured { endpoint: file, protocol, ..Configured::default() };
        let (config, warnings) = config(vars, configured);
        assert_eq!(config.endpoint.uri().to_string(), expected, "{vars:?}");
        assert_eq!(warnings, []);
    };
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/as/is");
    let grpc = Some(Protocol::Grpc);
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "TRUE");
    check(&[BASE], None, None, "http://collector:4318/v1/traces");
    check(&[BASE, own], None, None, "http://traces:4318/as/is");
    check(&[BASE, (own.0, " ")], None, None, "http://collector:4318/v1/traces");
    check(&[BASE, own], Some("https://file/otlp/?k=v"), None, "https://file/otlp/v1/traces?k=v");
    check(&[BASE], None, grpc, "http://collector:4318/");
    check(&[(BASE.0, "collector:4317")], None, grpc, "https://collector:4317/");
    check(&[(BASE.0, "collector:4317"), insecure], None, grpc, "http://collector:4317/");
    check(
        &[BASE, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
        None,
        Some(Protocol::HttpProtobuf),
        "http://collector:4318/v1/traces",
    );
}

#[test]
fn bad_addresses_are_faults_that_quote_nothing() {
    let check = |text: &str, problem| {
        let faults = read(&[(BASE.0, text)], Configured::default()).unwrap_err();
        let source_name = BASE.0.to_owned();
        assert_eq!(faults, [Fault { source_name, problem }], "{text}");
    };
    check("collector:4318", "does not begin with http:// or https://");
    check("ftp://collector", "does not begin with http:// or https://");
    check("http://user:secret@collector", "carries a user or password; send it as a header");
    check("http://no spaces", "is not an address");
}

#[test]
fn off_for_a_reason() {
    let check = |vars: Vars<'_>, word: &str| {
        let export = read(vars, Configured::default()).unwrap().export;
        assert!(matches!(export, Export::Off(reason) if reason.contains(word)), "{export:?}");
    };
    check(&[], "no OTLP endpoint");
    check(&[(BASE.0, "")], "no OTLP endpoint");
    check(&[BASE, ("OTEL_SDK_DISABLED", "True")], "OTEL_SDK_DISABLED");
    check(&[BASE, ("OTEL_TRACES_EXPORTER", "none")], "OTEL_TRACES_EXPORTER");
}

#[test]
fn what_is_not_understood_is_said_and_ignored() {
    let check = |name: &str, value: &str| {
        let (config, warnings) = config(&[BASE, (name, value)], Configured::default());
        let sources: Vec<&str> = warnings.iter().map(|w| w.source_name.as_str()).collect();
        assert_eq!(sources, [name]);
        assert!(!format!("{warnings:?}").contains(value));
        let plain = read(&[BASE], Configured::default()).unwrap().export;
        assert_eq!(Export::On(Box::new(config)), plain);
    };
    check("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon");
    check("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s");
    check("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli");
    check("OTEL_EXPORTER_OTLP_HEADERS", "no-equals-sign");
    check("OTEL_EXPORTER_OTLP_HEADERS", "key=line%0Abreak");
    check("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/etc/own.pem");
    check("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/etc/own.key");
    check("OTEL_METRICS_EXPORTER", "statsd");
    check("OTEL_TRACES_EXPORTER", "zipkin");
    check("OTEL_BSP_SCHEDULE_DELAY", "00");
    check("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1");
    check("OTEL_RESOURCE_ATTRIBUTES", "nothing");
}

#[test]
fn a_bad_value_of_the_signal_leaves_the_general_one() {
    let vars = [
        BASE,
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC"),
    ];
    let (config, warnings) = config(&vars, Configured::default());
    assert_eq!((config.protocol, warnings.len()), (Protocol::Grpc, 1));
}

#[test]
fn numbers_headers_and_resource() {
    let vars = [
        BASE,
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20s3cret, x-tenant = a,"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1000000"),
    ];
    let (config, warnings) = config(&vars, Configured::default());
    assert_eq!(warnings, []);
    assert_eq!(config.timeout, Duration::from_millis(2_500));
    assert_eq!(config.compression, None);
    assert_eq!(config.schedule_delay, Duration::from_millis(200));
    assert_eq!(config.batch_max, SPANS_MAX);
    assert_eq!(config.headers["authorization"], "Bearer s3cret");
    assert_eq!(config.headers["x-tenant"], "a");
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn the_name_of_the_service() {
    let check = |vars: Vars<'_>, file, expected: &[(&str, &str)]| {
        let configured = Configured { service_name: file, ..Configured::default() };
        let mut all = vec![BASE];
        all.extend_from_slice(vars);
        let resource = config(&all, configured).0.resource;
        let found: Vec<_> = resource.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(found, expected);
    };
    let list = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=listed,deployment=a%2Cb");
    let name = ("OTEL_SERVICE_NAME", "named");
    check(&[], None, &[("service.name", "unknown_service:kinescope")]);
    check(&[list], None, &[("service.name", "listed"), ("deployment", "a,b")]);
    check(&[list, name], None, &[("service.name", "named"), ("deployment", "a,b")]);
    check(&[list, name], Some("file"), &[("service.name", "file"), ("deployment", "a,b")]);
}

#[test]
fn json_is_a_fault_where_it_would_be_spoken() {
    let json = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    let check = |vars: Vars<'_>, protocol, expected: Option<&str>| {
        let configured = Configured { protocol, ..Configured::default() };
        let faults = read(vars, configured).err().unwrap_or_default();
        let names: Vec<&str> = faults.iter().map(|fault| fault.source_name.as_str()).collect();
        assert_eq!(names, expected.into_iter().collect::<Vec<_>>(), "{vars:?}");
    };
    let metrics = ("OTEL_METRICS_EXPORTER", "otlp");
    let own = |protocol| ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol);
    check(&[BASE, json], None, Some(json.0));
    check(&[BASE, json, metrics], None, Some(json.0));
    check(&[BASE, own("HTTP/JSON")], None, Some("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"));
    check(&[BASE, json, own("grpc")], None, None);
    check(&[BASE, json, own("grpc"), metrics], None, Some(json.0));
    check(&[BASE, json], Some(Protocol::Grpc), None);
    check(&[json], None, None);
}

#[test]
fn certificates_are_named_with_their_variable() {
    let vars = [
        BASE,
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/etc/own.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/etc/own.key"),
    ];
    let (config, warnings) = config(&vars, Configured::default());
    assert_eq!(warnings, []);
    let file = |(name, path): (&str, &str)| File { source_name: name.into(), path: path.into() };
    assert_eq!(config.tls.certificate, Some(file(vars[1])));
    assert_eq!(config.tls.client, Some((file(vars[2]), file(vars[3]))));
}

#[test]
fn metrics_leave_when_they_are_asked_to() {
    let metrics = |vars: Vars<'_>| {
        let Reading { metrics, warnings, .. } = read(vars, Configured::default()).unwrap();
        (metrics.map(|config| *config), warnings.len())
    };
    let otlp = ("OTEL_METRICS_EXPORTER", "otlp");
    assert_eq!(metrics(&[BASE]), (None, 0));
    assert_eq!(metrics(&[BASE, ("OTEL_METRICS_EXPORTER", "prometheus")]), (None, 0));
    assert_eq!(metrics(&[BASE, otlp, ("OTEL_SDK_DISABLED", "true")]), (None, 0));
    assert_eq!(metrics(&[otlp]), (None, 1), "asked for, with nowhere to go");
    let (config, warnings) = metrics(&[BASE, otlp, ("OTEL_TRACES_EXPORTER", "none")]);
    let config = config.unwrap();
    assert_eq!(config.endpoint.uri().to_string(), "http://collector:4318/v1/metrics");
    assert_eq!((config.schedule_delay, warnings), (METRICS_EVERY, 0));
    let (config, warnings) = metrics(&[
        BASE,
        otlp,
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics/as/is"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "7"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "8"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
    ]);
    let config = config.unwrap();
    assert_eq!(config.endpoint.uri().to_string(), "http://metrics/as/is");
    assert_eq!(
        (config.timeout, config.schedule_delay),
        (Duration::from_millis(7), Duration::from_secs(1))
    );
    assert_eq!(warnings, 2, "the general variable is complained about once");
}

#[test]
fn x_ray_takes_no_collectors_settings() {
    let vars = [
        BASE,
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let configured = Configured { xray: Some("eu-west-1"), ..Configured::default() };
    let Export::XRay { region, config } = read(&vars, configured).unwrap().export else {
        panic!("to X-Ray")
    };
    assert_eq!(region, "eu-west-1");
    assert_eq!(config.endpoint.uri(), "https://xray.eu-west-1.amazonaws.com/v1/traces");
    assert_eq!(
        (config.protocol, config.compression),
        (Protocol::HttpProtobuf, Some(Compression::Gzip))
    );
    assert!(config.headers.is_empty());
    let off = read(&[("OTEL_TRACES_EXPORTER", "none")], configured).unwrap().export;
    assert!(matches!(off, Export::Off(_)));
    let long = "x".repeat(16_000);
    let list = format!("a={long}");
    let faults = read(&[("OTEL_RESOURCE_ATTRIBUTES", &list)], configured).unwrap_err();
    assert_eq!(faults[0].source_name, "OTEL_RESOURCE_ATTRIBUTES");
}
