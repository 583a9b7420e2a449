//! Owns OpenTelemetry's environment variables for the export of spans, by the specification's rules:
//! empty is unset; a variable of the signal goes before the general one; what is not understood is
//! said and ignored. Refuses to read the environment itself: `get` does.
//! Source: reference/tracing.md 3.7.

use super::config::Compression;
use super::config::Config;
use super::config::Endpoint;
use super::config::Fault;
use super::config::Protocol;
use super::queue::SPANS_MAX;
use ::http::HeaderMap;
use ::http::HeaderName;
use ::http::HeaderValue;
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// What the configuration file says; it goes before the environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Configured<'a> {
    /// `otlp.endpoint`: the collector's base address, as `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: Option<&'a str>,
    /// `otlp.protocol`, if it was written.
    pub protocol: Option<Protocol>,
    /// `service.name`, if it was written.
    pub service_name: Option<&'a str>,
}

/// What was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Whether and how spans leave.
    pub export: Export,
    /// What was ignored, each for one line of the log.
    pub warnings: Vec<Fault>,
}

/// Whether and how spans leave the process.
#[derive(Debug, Clone, PartialEq)]
pub enum Export {
    /// To a collector.
    On(Box<Config>),
    /// Nowhere, and why: a sentence to log once.
    Off(&'static str),
}

/// Reads the environment through `get`, under what is configured.
///
/// # Errors
/// An address that cannot be used: it is the one setting without which nothing can be guessed.
pub fn from_environment(
    get: impl Fn(&str) -> Option<String>,
    configured: Configured<'_>,
) -> Result<Reading, Vec<Fault>> {
    let mut reader = Reader { get, warnings: Vec::new() };
    let export = reader.export(configured).map_err(|fault| vec![fault])?;
    Ok(Reading { export, warnings: reader.warnings })
}

struct Reader<G> {
    get: G,
    warnings: Vec<Fault>,
}

const MILLIS: &str = "is not a number of milliseconds above 0; it is ignored";

impl<G: Fn(&str) -> Option<String>> Reader<G> {
    fn export(&mut self, configured: Configured<'_>) -> Result<Export, Fault> {
        if self.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Ok(Export::Off("OTEL_SDK_DISABLED is true: spans are not exported"));
        }
        let unknown = "names an exporter other than otlp; it is ignored";
        let none = self.first(&["OTEL_TRACES_EXPORTER"], unknown, |text| match text {
            "none" => Some(true),
            "otlp" => Some(false),
            _ => None,
        });
        if none == Some(true) {
            return Ok(Export::Off("OTEL_TRACES_EXPORTER is none: spans are not exported"));
        }
        let unknown = "is neither http/protobuf nor grpc; it is ignored";
        let protocol = self.signal("PROTOCOL", unknown, |text| match text {
            "http/protobuf" => Some(Protocol::HttpProtobuf),
            "grpc" => Some(Protocol::Grpc),
            _ => None,
        });
        let protocol = configured.protocol.or(protocol).unwrap_or(Protocol::HttpProtobuf);
        let Some(endpoint) = self.endpoint(configured.endpoint, protocol)? else {
            return Ok(Export::Off("no OTLP endpoint is configured: spans are not exported"));
        };
        Ok(Export::On(Box::new(self.config(endpoint, protocol, configured.service_name))))
    }

    fn config(&mut self, endpoint: Endpoint, protocol: Protocol, service: Option<&str>) -> Config {
        let defaults = Config::new(endpoint, protocol);
        for name in ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"] {
            let _: Option<()> =
                self.signal(name, "is not supported; the system's roots are used", |_| None);
        }
        let compression = self.signal("COMPRESSION", "is not gzip or none", |text| match text {
            "gzip" => Some(Some(Compression::Gzip)),
            "none" => Some(None),
            _ => None,
        });
        let delay = self.first(&["OTEL_BSP_SCHEDULE_DELAY"], MILLIS, millis);
        let batch = self.first(
            &["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"],
            "is not a number of spans above 0; it is ignored",
            |text| text.parse().ok().filter(|&spans| spans > 0),
        );
        Config {
            headers: self.headers(),
            timeout: self.signal("TIMEOUT", MILLIS, millis).unwrap_or(defaults.timeout),
            compression: compression.flatten(),
            resource: self.resource(service),
            schedule_delay: delay.unwrap_or(defaults.schedule_delay),
            batch_max: batch.unwrap_or(defaults.batch_max).min(SPANS_MAX),
            ..defaults
        }
    }

    /// The signal's address is used as it is; a general one is a base. No address: `None`.
    fn endpoint(
        &mut self,
        configured: Option<&str>,
        protocol: Protocol,
    ) -> Result<Option<Endpoint>, Fault> {
        let from = |name: &str| self.text(name).map(|text| (name.to_owned(), text));
        let own = || from("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(|found| (found, true));
        let base = || from("OTEL_EXPORTER_OTLP_ENDPOINT").map(|found| (found, false));
        let file = configured
            .filter(|text| !text.is_empty())
            .map(|text| (("otlp.endpoint".to_owned(), text.to_owned()), false));
        let Some(((source_name, mut text), whole)) = file.or_else(own).or_else(base) else {
            return Ok(None);
        };
        let parsed = match protocol {
            Protocol::HttpProtobuf if whole => Endpoint::parse(&text),
            Protocol::HttpProtobuf => Endpoint::parse(&text).and_then(|e| e.under("/v1/traces")),
            Protocol::Grpc => {
                if !text.contains("://") {
                    let plain = self.signal("INSECURE", "is neither true nor false", truth);
                    let scheme = if plain == Some(true) { "http" } else { "https" };
                    text = format!("{scheme}://{text}");
                }
                Endpoint::parse(&text)
            }
        };
        parsed.map(Some).map_err(|problem| Fault { source_name, problem })
    }

    /// `name=value` pairs; their values may be percent-encoded and are secrets.
    fn headers(&mut self) -> HeaderMap {
        let problem = "holds what is not a header; it is ignored";
        let read = self.signal_as_is("HEADERS", problem, |text| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs(text)? {
                let mut value = HeaderValue::from_str(&value).ok()?;
                value.set_sensitive(true);
                headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
            }
            Some(headers)
        });
        read.unwrap_or_default()
    }

    /// The resource's attributes; a name of the service goes before the list's.
    fn resource(&mut self, configured: Option<&str>) -> Vec<(String, String)> {
        let name = configured.map(str::to_owned).or_else(|| self.text("OTEL_SERVICE_NAME"));
        let problem = "is not a list of key=value; it is ignored";
        let list = self.first_as_is(&["OTEL_RESOURCE_ATTRIBUTES"], problem, pairs);
        let mut attributes = list.unwrap_or_default();
        let listed = attributes.iter().any(|(key, _)| key == "service.name");
        if name.is_some() || !listed {
            attributes.retain(|(key, _)| key != "service.name");
            let name = name.unwrap_or_else(|| "unknown_service:kinescope".to_owned());
            attributes.insert(0, ("service.name".to_owned(), name));
        }
        attributes
    }

    /// A variable that is set, without the space around it.
    fn text(&self, name: &str) -> Option<String> {
        let text = (self.get)(name)?;
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }

    /// The first variable that can be read; those before it get a warning.
    fn first_as_is<T>(
        &mut self,
        names: &[&str],
        problem: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        for &name in names {
            let Some(text) = self.text(name) else { continue };
            match parse(&text) {
                Some(value) => return Some(value),
                None => self.warnings.push(Fault { source_name: name.to_owned(), problem }),
            }
        }
        None
    }

    /// The same, of values whose case means nothing.
    fn first<T>(
        &mut self,
        names: &[&str],
        problem: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.first_as_is(names, problem, |text| parse(&text.to_ascii_lowercase()))
    }

    /// The exporter's variable for traces, else the one for all signals.
    fn signal_as_is<T>(
        &mut self,
        name: &str,
        problem: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let own = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
        self.first_as_is(&[&own, &format!("OTEL_EXPORTER_OTLP_{name}")], problem, parse)
    }

    /// The same, of values whose case means nothing.
    fn signal<T>(
        &mut self,
        name: &str,
        problem: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.signal_as_is(name, problem, |text| parse(&text.to_ascii_lowercase()))
    }
}

fn millis(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|&ms| ms > 0).map(Duration::from_millis)
}

fn truth(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// `key=value,key=value`, values percent-decoded; one bad pair spoils the list, as the
/// specification has it.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |entry: &str| {
        let (key, value) = entry.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let key = percent_decode_str(key.trim()).decode_utf8().ok()?;
        (!key.is_empty()).then(|| (key.into_owned(), value.into_owned()))
    };
    text.split(',').filter(|entry| !entry.trim().is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
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
        match reading.export {
            Export::On(config) => (*config, reading.warnings),
            Export::Off(reason) => panic!("{reason}"),
        }
    }

    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    #[test]
    fn addresses() {
        let check = |vars: Vars<'_>, file, protocol, expected: &str| {
            let configured = Configured { endpoint: file, protocol, service_name: None };
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
        check(
            &[BASE, own],
            Some("https://file/otlp/?k=v"),
            None,
            "https://file/otlp/v1/traces?k=v",
        );
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
        check("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
        check("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s");
        check("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli");
        check("OTEL_EXPORTER_OTLP_HEADERS", "no-equals-sign");
        check("OTEL_EXPORTER_OTLP_HEADERS", "key=line%0Abreak");
        check("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem");
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
}
