//! Owns OpenTelemetry's environment variables for the export of spans and metrics, by the
//! specification's rules. Refuses to read the environment itself: `get` does.
//! Source: reference/tracing.md 3.7.

mod reader;
#[cfg(test)]
mod tests;

use super::config::Compression;
use super::config::Config;
use super::config::Endpoint;
use super::config::Fault;
use super::config::File;
use super::config::Protocol;
use super::config::Tls;
use super::queue::SPANS_MAX;
use super::sender::Signal;
use crate::wire::otlp::origin_bytes;
use crate::wire::xray;
use ::http::HeaderMap;
use ::http::HeaderName;
use ::http::HeaderValue;
use percent_encoding::percent_decode_str;
use reader::MILLIS;
use reader::Reader;
use reader::millis;
use reader::names;
use std::time::Duration;

/// How often metrics are sent unless told otherwise.
const METRICS_EVERY: Duration = Duration::from_secs(60);

/// What the configuration file says; it goes before the environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Configured<'a> {
    /// `otlp.endpoint`: the collector's base address, as `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: Option<&'a str>,
    /// `otlp.protocol`, if it was written.
    pub protocol: Option<Protocol>,
    /// `service.name`, if it was written.
    pub service_name: Option<&'a str>,
    /// With `otlp.xray`, the region whose X-Ray takes the spans; metrics go where they went.
    pub xray: Option<&'a str>,
}

/// What was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Whether and how spans leave.
    pub export: Export,
    /// How metrics leave, if `OTEL_METRICS_EXPORTER` asks for it.
    pub metrics: Option<Box<Config>>,
    /// What was ignored, each for one line of the log.
    pub warnings: Vec<Fault>,
}

/// Whether and how spans leave the process.
#[derive(Debug, Clone, PartialEq)]
pub enum Export {
    /// To a collector.
    On(Box<Config>),
    /// To X-Ray's OTLP endpoint, signed.
    XRay {
        /// The region to sign for.
        region: String,
        /// How.
        config: Box<Config>,
    },
    /// Nowhere, and why: a sentence to log once.
    Off(&'static str),
}

/// Reads the environment through `get`, under what is configured.
///
/// # Errors
/// An address that cannot be used, or a protocol that we do not speak: settings without which
/// nothing can be guessed.
pub fn from_environment(
    get: impl Fn(&str) -> Option<String>,
    configured: Configured<'_>,
) -> Result<Reading, Vec<Fault>> {
    let mut reader = Reader::new(get);
    match (reader.export(configured), reader.metrics(configured)) {
        (Ok(export), Ok(metrics)) => Ok(Reading { export, metrics, warnings: reader.warnings() }),
        (export, metrics) => {
            let mut faults: Vec<Fault> = export.err().into_iter().chain(metrics.err()).collect();
            faults.dedup();
            Err(faults)
        }
    }
}

impl<G: Fn(&str) -> Option<String>> Reader<G> {
    fn export(&mut self, configured: Configured<'_>) -> Result<Export, Fault> {
        if self.is_disabled() {
            return Ok(Export::Off("OTEL_SDK_DISABLED is true: spans are not exported"));
        }
        let unknown = "names an exporter other than otlp; it is ignored";
        let none = self.one("OTEL_TRACES_EXPORTER", unknown, |text| match text {
            "none" => Some(true),
            "otlp" => Some(false),
            _ => None,
        });
        if none == Some(true) {
            return Ok(Export::Off("OTEL_TRACES_EXPORTER is none: spans are not exported"));
        }
        if let Some(region) = configured.xray {
            return self.xray(region, configured.service_name);
        }
        let to = self.collector(Signal::Traces, configured)?;
        Ok(match to {
            Some(config) => Export::On(Box::new(self.batches(config))),
            None => Export::Off("no OTLP endpoint is configured: spans are not exported"),
        })
    }

    /// What is meant for a collector, its headers above all, is not for AWS.
    fn xray(&mut self, region: &str, service: Option<&str>) -> Result<Export, Fault> {
        let fault = |problem| Fault { source_name: "otlp.xray".to_owned(), problem };
        let endpoint = Endpoint::parse(&xray::address(region)).map_err(fault)?;
        let mut config = self.common(Signal::Traces, endpoint, Protocol::HttpProtobuf, service);
        config.tls = Tls::default();
        if origin_bytes(&config.resource) > xray::ORIGIN_BYTES_MAX {
            let source_name = "OTEL_RESOURCE_ATTRIBUTES".to_owned();
            return Err(Fault { source_name, problem: "is larger than X-Ray takes" });
        }
        Ok(Export::XRay { region: region.to_owned(), config: Box::new(self.batches(config)) })
    }

    /// The scrape has these metrics too; so they are sent only when that is asked for.
    fn metrics(&mut self, configured: Configured<'_>) -> Result<Option<Box<Config>>, Fault> {
        let unknown = "names an exporter other than otlp, prometheus and none; it is ignored";
        let asked = self.one("OTEL_METRICS_EXPORTER", unknown, |text| match text {
            "otlp" => Some(true),
            "prometheus" | "none" => Some(false),
            _ => None,
        });
        if asked != Some(true) || self.is_disabled() {
            return Ok(None);
        }
        let Some(mut config) = self.collector(Signal::Metrics, configured)? else {
            self.warn("OTEL_METRICS_EXPORTER", "is otlp, but no OTLP endpoint is configured");
            return Ok(None);
        };
        let other = "asks for what is not offered; metrics are cumulative";
        let preference = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        self.one(preference, other, |text| (text == "cumulative").then_some(()));
        let every = self.one("OTEL_METRIC_EXPORT_INTERVAL", MILLIS, millis);
        config.schedule_delay = every.unwrap_or(METRICS_EVERY);
        Ok(Some(Box::new(config)))
    }

    fn is_disabled(&self) -> bool {
        self.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The way to the signal's collector; none is configured: `None`.
    fn collector(
        &mut self,
        signal: Signal,
        configured: Configured<'_>,
    ) -> Result<Option<Config>, Fault> {
        let file = configured.endpoint.filter(|text| !text.is_empty());
        let file = file.map(|text| ("otlp.endpoint".to_owned(), text.to_owned()));
        let [own, base] = names(signal, "ENDPOINT");
        // The signal's own address is used as it is; a general one is a base.
        let own = || self.set(&[own]).map(|found| (found, true));
        let base = || self.set(&[base]).map(|found| (found, false));
        let found = file.map(|found| (found, false)).or_else(own).or_else(base);
        let Some(((source_name, text), whole)) = found else { return Ok(None) };
        let protocol = match configured.protocol {
            Some(protocol) => protocol,
            None => self.protocol(signal)?,
        };
        let endpoint = self.endpoint(signal, protocol, text, whole);
        let endpoint = endpoint.map_err(|problem| Fault { source_name, problem })?;
        let mut config = self.common(signal, endpoint, protocol, configured.service_name);
        config.headers = self.headers(signal);
        config.tls = self.tls(signal);
        Ok(Some(config))
    }

    fn protocol(&mut self, signal: Signal) -> Result<Protocol, Fault> {
        for name in names(signal, "PROTOCOL") {
            match self.text(&name).map(|text| text.to_ascii_lowercase()).as_deref() {
                None => {}
                Some("http/protobuf") => return Ok(Protocol::HttpProtobuf),
                Some("grpc") => return Ok(Protocol::Grpc),
                Some("http/json") => {
                    let problem = "is http/json, which is not spoken here: \
                                   write http/protobuf or grpc";
                    return Err(Fault { source_name: name, problem });
                }
                Some(_) => self.warn(&name, "is neither http/protobuf nor grpc; it is ignored"),
            }
        }
        Ok(Protocol::HttpProtobuf)
    }

    fn endpoint(
        &mut self,
        signal: Signal,
        protocol: Protocol,
        mut text: String,
        whole: bool,
    ) -> Result<Endpoint, &'static str> {
        let path = match signal {
            Signal::Traces => "/v1/traces",
            Signal::Metrics => "/v1/metrics",
        };
        match protocol {
            Protocol::HttpProtobuf if whole => Endpoint::parse(&text),
            Protocol::HttpProtobuf => Endpoint::parse(&text).and_then(|e| e.under(path)),
            Protocol::Grpc => {
                if !text.contains("://") {
                    let truth = |text: &str| text.parse().ok();
                    let problem = "is neither true nor false; it is ignored";
                    let plain = self.first(&names(signal, "INSECURE"), problem, truth);
                    let scheme = if plain == Some(true) { "http" } else { "https" };
                    text = format!("{scheme}://{text}");
                }
                Endpoint::parse(&text)
            }
        }
    }

    /// What collectors and X-Ray have in common.
    fn common(
        &mut self,
        signal: Signal,
        endpoint: Endpoint,
        protocol: Protocol,
        service: Option<&str>,
    ) -> Config {
        let problem = "is neither gzip nor none; it is ignored";
        let compression = self.first(&names(signal, "COMPRESSION"), problem, |text| match text {
            "gzip" => Some(Some(Compression::Gzip)),
            "none" => Some(None),
            _ => None,
        });
        let defaults = Config::new(endpoint, protocol);
        let timeout = self.first(&names(signal, "TIMEOUT"), MILLIS, millis);
        Config {
            timeout: timeout.unwrap_or(defaults.timeout),
            compression: compression.flatten(),
            resource: self.resource(service),
            ..defaults
        }
    }

    /// How spans are gathered.
    fn batches(&mut self, defaults: Config) -> Config {
        let delay = self.one("OTEL_BSP_SCHEDULE_DELAY", MILLIS, millis);
        let problem = "is not a number of spans above 0; it is ignored";
        let batch = self.one("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", problem, |text| {
            text.parse().ok().filter(|&spans| spans > 0)
        });
        Config {
            schedule_delay: delay.unwrap_or(defaults.schedule_delay),
            batch_max: batch.unwrap_or(defaults.batch_max).min(SPANS_MAX),
            ..defaults
        }
    }

    fn tls(&mut self, signal: Signal) -> Tls {
        let file = |name| {
            let found = self.set(&names(signal, name));
            found.map(|(source_name, path)| File { source_name, path: path.into() })
        };
        let certificate = file("CERTIFICATE");
        let client = match (file("CLIENT_CERTIFICATE"), file("CLIENT_KEY")) {
            (Some(own), Some(key)) => Some((own, key)),
            (Some(alone), None) => {
                self.warn(&alone.source_name, "has no CLIENT_KEY beside it; it is ignored");
                None
            }
            (None, Some(alone)) => {
                self.warn(&alone.source_name, "has no CLIENT_CERTIFICATE beside it; it is ignored");
                None
            }
            (None, None) => None,
        };
        Tls { certificate, client }
    }

    /// `name=value` pairs; their values may be percent-encoded and are secrets.
    fn headers(&mut self, signal: Signal) -> HeaderMap {
        let problem = "holds what is not a header; it is ignored";
        let read = self.first_as_is(&names(signal, "HEADERS"), problem, |text| {
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
        let list = self.first_as_is(&["OTEL_RESOURCE_ATTRIBUTES".to_owned()], problem, pairs);
        let mut attributes = list.unwrap_or_default();
        let listed = attributes.iter().any(|(key, _)| key == "service.name");
        if name.is_some() || !listed {
            attributes.retain(|(key, _)| key != "service.name");
            let name = name.unwrap_or_else(|| "unknown_service:kinescope".to_owned());
            attributes.insert(0, ("service.name".to_owned(), name));
        }
        attributes
    }
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
