//! Owns the keys of the data plane: its listeners, the way upstream, what is done to which stream,
//! and who may use it. Refuses to open anything but the certificate, to see that it is there.

use super::fault::Place;
use super::sections::Open;
use super::value::{Bytes, Endpoint, KeyId, Meaning, Name, Pattern, Percent, words};
use super::walk::Spot;
use crate::domain::envelope::aggregate::Aggregated;
use crate::io::secret::Secret;
use crate::wire::kinesis::operation::Operation;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The data plane's part.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// The listener for clients that cannot do without TLS.
    pub tls: Option<Tls>,
    /// Ports of their own for applications that share this sidecar.
    pub apps: Vec<App>,
    /// The kill switch over all streams.
    pub propagation: Propagation,
    /// In place of Kinesis's own endpoint: scheme and authority, no path.
    pub upstream_endpoint: Option<http::Uri>,
    /// Kinesis's FIPS endpoints; never together with an endpoint.
    pub fips: bool,
    /// Kinesis's dual-stack endpoints; never together with an endpoint.
    pub dual_stack: bool,
    /// The HTTP proxy on the way to `https` upstreams: an `http` or `https` address that may hold a
    /// user and a password.
    pub upstream_proxy: Option<Secret>,
    /// The hosts that are reached without that proxy, as `NO_PROXY` has them.
    pub no_proxy: Option<String>,
    /// The first match wins; a stream that none matches is [`StreamPolicy::default`].
    pub streams: Vec<StreamPolicy>,
    /// Who may do what.
    pub allow: Allow,
}

/// The TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// PEM, the chain; with the key or not at all. `None`: made at start.
    pub certificate: Option<PathBuf>,
    /// PEM.
    pub key: Option<PathBuf>,
}

/// A data-plane listener of one application's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// As in the path `/app/NAME`: letters, digits, `_.-`.
    pub name: String,
    /// Where it listens; no other listener has the port.
    pub listen: Vec<SocketAddr>,
}

/// Whether bytes may be changed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// As each stream's policy says.
    Auto,
    /// Never.
    Off,
}

/// What is done to the streams whose name matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPolicy {
    /// Glob on the stream's name.
    pub pattern: String,
    /// What is done to records that are put.
    pub propagate: Propagate,
    /// What readers get.
    pub deliver: Deliver,
    /// Of a hundred calls, how many are injected, 0 to 100; the others are observed.
    pub propagate_percent: u8,
    /// How context goes into KPL aggregates.
    pub aggregated: Aggregated,
    /// The largest record in bytes, in place of what the stream itself says.
    pub max_record_bytes: Option<usize>,
}

impl Default for StreamPolicy {
    /// What is done to a stream that no policy names.
    fn default() -> Self {
        Self {
            pattern: "*".to_owned(),
            propagate: Propagate::Inject,
            deliver: Deliver::Keep,
            propagate_percent: 100,
            aggregated: Aggregated::Tags,
            max_record_bytes: None,
        }
    }
}

/// What is done to a stream's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagate {
    /// Context is added where it is safe.
    Inject,
    /// Read, measured, never changed.
    Observe,
    /// Forwarded unread.
    Off,
}

impl Propagate {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inject => "inject",
            Self::Observe => "observe",
            Self::Off => "off",
        }
    }
}

/// What a stream's readers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deliver {
    /// The records as they are stored.
    Keep,
    /// The producer's original bytes.
    Strip,
}

/// Who may do what; an empty list allows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// Access key ids, exactly.
    pub access_keys: Vec<String>,
    /// Globs on stream names.
    pub streams: Vec<String>,
    /// Globs on operation names.
    pub operations: Vec<String>,
}

words!(Propagation { "auto" => Self::Auto, "off" => Self::Off });
words!(Propagate { "inject" => Self::Inject, "observe" => Self::Observe, "off" => Self::Off });
words!(Deliver { "keep" => Self::Keep, "strip" => Self::Strip });
words!(Aggregated { "tags" => Self::Tags, "json" => Self::Json, "off" => Self::Off });

/// The largest record that Kinesis takes of any stream.
const RECORD_BYTES_MAX: usize = 10 << 20;

pub(super) fn proxy(
    spot: &Spot<'_>,
    environment: &BTreeMap<String, String>,
    open: Open<'_>,
    warnings: &mut Vec<String>,
) -> Proxy {
    let mut table = spot.table();
    let listen = listen(&table.key("listen"), &["127.0.0.1:4590", "[::1]:4590"]);
    let mut ports = Ports(listen.iter().map(SocketAddr::port).collect());
    let tls = tls(&table.key("tls"), open, &mut ports);
    let apps = apps(&table.key("apps"), &mut ports);
    let propagation = table.key("propagation").or(Propagation::Auto);
    let Upstream { endpoint, fips, dual_stack, proxy, no_proxy } =
        upstream(&table.key("upstream"), environment, warnings);
    let streams = stream_policies(&table.key("streams"));
    let allow = allow(&table.key("allow"), warnings);
    table.done();
    let all = listen.iter().chain(tls.iter().flat_map(|tls| &tls.listen));
    let all = all.chain(apps.iter().flat_map(|app| &app.listen));
    for address in all.filter(|address| !address.ip().is_loopback()) {
        warnings.push(format!(
            "the data plane listens on {address}, which is not loopback: \
             whoever reaches it sends with this pod's AWS credentials"
        ));
    }
    Proxy {
        listen,
        tls,
        apps,
        propagation,
        upstream_endpoint: endpoint,
        fips,
        dual_stack,
        upstream_proxy: proxy,
        no_proxy,
        streams,
        allow,
    }
}

/// A listener's addresses.
pub(super) fn listen(spot: &Spot<'_>, default: &[&str]) -> Vec<SocketAddr> {
    let default = default.iter().filter_map(|text| SocketAddr::of_text(text)).collect();
    if spot.is_empty_list() {
        spot.fault("should have at least one address");
    }
    spot.list(default)
}

fn tls(spot: &Spot<'_>, open: Open<'_>, ports: &mut Ports) -> Option<Tls> {
    let mut table = spot.table();
    let enabled = table.key("enabled").or(false);
    let addresses = table.key("listen");
    let listen = listen(&addresses, &["127.0.0.1:4591"]);
    if enabled {
        ports.take(&listen, &addresses);
    }
    let files = ["certificate", "key"].map(|key| table.key(key));
    // Switched off, the files need not be there: the switch may be off because they are not.
    if enabled && files.each_ref().map(Spot::given) == [true, false] {
        spot.fault("should have a `key` to its `certificate`");
    }
    if enabled && files.each_ref().map(Spot::given) == [false, true] {
        spot.fault("should have a `certificate` to its `key`");
    }
    let [certificate, key] = files.map(|file| {
        let path = file.maybe::<String>().map(PathBuf::from)?;
        if let Err(error) = if enabled { open(&path).map(drop) } else { Ok(()) } {
            file.fault(format!("the file cannot be read: {error}"));
        }
        Some(path)
    });
    table.done();
    enabled.then_some(Tls { listen, certificate, key })
}

fn apps(spot: &Spot<'_>, ports: &mut Ports) -> Vec<App> {
    let mut apps: Vec<App> = Vec::new();
    for spot in spot.items().unwrap_or_default() {
        let mut table = spot.table();
        let (name, addresses) = (table.key("name"), table.key("listen"));
        for (key, spot_of_key) in [("name", &name), ("listen", &addresses)] {
            if spot.is_map() && !spot_of_key.given() {
                spot.fault(format!("should have a `{key}`"));
            }
        }
        let listen = addresses.one_or_list();
        ports.take(&listen, &addresses);
        let name_text = name.maybe().map(|Name(text)| text).unwrap_or_default();
        if apps.iter().any(|app| app.name == name_text && !name_text.is_empty()) {
            name.fault("should differ from every other app's");
        }
        apps.push(App { name: name_text, listen });
        table.done();
    }
    apps
}

/// The ports of the data plane's listeners so far. Two of one port would be found out only at
/// start, or, on the two loopback addresses, by an application that is taken for another.
struct Ports(Vec<u16>);

impl Ports {
    fn take(&mut self, addresses: &[SocketAddr], spot: &Spot<'_>) {
        let chosen = |port: &u16| *port != 0;
        let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).filter(chosen).collect();
        if ports.iter().any(|port| self.0.contains(port)) {
            spot.fault("should have a port that no other listener of the data plane has");
        }
        self.0.extend(ports);
    }
}

struct Upstream {
    endpoint: Option<http::Uri>,
    fips: bool,
    dual_stack: bool,
    proxy: Option<Secret>,
    no_proxy: Option<String>,
}

fn upstream(
    spot: &Spot<'_>,
    environment: &BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> Upstream {
    let mut table = spot.table();
    let endpoint_spot = table.key("endpoint");
    let endpoint = endpoint_spot.maybe().map(|Endpoint { uri, .. }| uri);
    if endpoint.as_ref().and_then(http::Uri::path_and_query).is_some_and(|path| path != "/") {
        endpoint_spot.fault("should have no path");
    }
    let variant = |spot: &Spot<'_>, name: &'static str| {
        let flag = or_variable(spot, environment, name);
        if let Some((true, place)) = &flag
            && endpoint.is_some()
        {
            let why = "should not be true together with `endpoint`: it chooses among Kinesis's \
                       own endpoints, and a given one is called as it is";
            spot.fault_at(place.clone(), why);
        }
        flag.is_some_and(|(on, _)| on)
    };
    let fips = variant(&table.key("fips"), "AWS_USE_FIPS_ENDPOINT");
    let dual_stack = variant(&table.key("dual_stack"), "AWS_USE_DUALSTACK_ENDPOINT");
    let (proxy, no_proxy) = match table.key("proxy").maybe() {
        Some(ProxyAddress(address)) => (Some(address), None),
        None => environments_proxy(environment, warnings),
    };
    table.done();
    Upstream { endpoint, fips, dual_stack, proxy, no_proxy }
}

/// Yes or no of the file, else of one of AWS's variables, and where it was said.
fn or_variable(
    spot: &Spot<'_>,
    environment: &BTreeMap<String, String>,
    name: &str,
) -> Option<(bool, Place)> {
    if spot.given() {
        return Some((spot.maybe()?, spot.place()));
    }
    let text = environment.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())?;
    let place = Place::Variable(name.to_owned());
    let read = text.to_ascii_lowercase().parse().ok();
    if read.is_none() {
        spot.fault_at(place.clone(), "should be true or false");
    }
    Some((read?, place))
}

/// The proxy that the environment names for https, and the hosts that it leaves out.
fn environments_proxy(
    environment: &BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> (Option<Secret>, Option<String>) {
    let first = |names: [&'static str; 2]| {
        let set = |name| Some((name, environment.get(name).filter(|text| !text.is_empty())?));
        names.into_iter().find_map(set)
    };
    let Some((name, text)) = first(["HTTPS_PROXY", "https_proxy"]) else { return (None, None) };
    // Elsewhere a proxy without a scheme means http.
    let text = if text.contains("://") { text.clone() } else { format!("http://{text}") };
    let Some(ProxyAddress(address)) = ProxyAddress::of_text(&text) else {
        warnings.push(format!(
            "{name} should be {}; it is not used: calls go out directly",
            ProxyAddress::wanted()
        ));
        return (None, None);
    };
    (Some(address), first(["NO_PROXY", "no_proxy"]).map(|(_, hosts)| hosts.clone()))
}

/// An address of an HTTP proxy, which may hold a password.
struct ProxyAddress(Secret);

impl Meaning for ProxyAddress {
    fn wanted() -> String {
        "an http or https URL of a proxy, such as http://proxy.internal:3128".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        let uri: http::Uri = text.trim().parse().ok()?;
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        let named = uri.host().is_some_and(|host| !host.is_empty());
        (web && named).then(|| Self(Secret::new(text.trim().to_owned())))
    }
}

fn stream_policies(spot: &Spot<'_>) -> Vec<StreamPolicy> {
    let default = StreamPolicy::default();
    let policy = |spot: Spot<'_>| {
        let mut table = spot.table();
        let pattern = table.key("match");
        if spot.is_map() && !pattern.given() {
            spot.fault("should have a `match`");
        }
        let record = table.key("max_record_bytes");
        let record_bytes = record.maybe().map(|Bytes(bytes)| bytes);
        if record_bytes.is_some_and(|bytes| bytes > RECORD_BYTES_MAX) {
            record.fault("should be at most 10MiB, the largest record that Kinesis takes");
        }
        let policy = StreamPolicy {
            pattern: pattern.maybe().map_or_else(String::new, |Pattern(pattern)| pattern),
            propagate: table.key("propagate").or(default.propagate),
            deliver: table.key("deliver").or(default.deliver),
            propagate_percent: table
                .key("propagate_percent")
                .or(Percent(default.propagate_percent))
                .0,
            aggregated: table.key("aggregated").or(default.aggregated),
            max_record_bytes: record_bytes,
        };
        table.done();
        policy
    };
    spot.items().unwrap_or_default().into_iter().map(policy).collect()
}

fn allow(spot: &Spot<'_>, warnings: &mut Vec<String>) -> Allow {
    let mut table = spot.table();
    let patterns = |spot: Spot<'_>| -> Vec<String> {
        spot.list(Vec::new()).into_iter().map(|Pattern(pattern)| pattern).collect()
    };
    let keys = table.key("access_keys").list(Vec::new());
    let allow = Allow {
        access_keys: keys.into_iter().map(|KeyId(id)| id).collect(),
        streams: patterns(table.key("streams")),
        operations: patterns(table.key("operations")),
    };
    table.done();
    for (index, pattern) in allow.operations.iter().enumerate() {
        warnings.extend(unknown_operation(pattern).map(|nearest| {
            format!(
                "proxy.allow.operations[{index}] matches no operation that is known here{nearest}"
            )
        }));
    }
    allow
}

/// For a pattern that matches no operation: the name that may have been meant.
fn unknown_operation(pattern: &str) -> Option<String> {
    if Operation::names().any(|name| crate::domain::alert::glob::matches(pattern, name)) {
        return None;
    }
    let nearest = super::walk::nearest(pattern, Operation::names());
    Some(nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())
}
