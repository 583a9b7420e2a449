//! Owns what each key of the configuration means: one straight walk over the tree of what was
//! written. Refuses to touch files except through the opener it is given.

use super::fault::{Fault, Faults, Place};
use super::limits::{Limits, positive};
use super::proxy::{listen, proxy};
use super::raw::{self, Node};
use super::sources::{self, Flags};
use super::value::{Endpoint, Folder, Meaning, Pattern, words};
use super::walk::{Later, Spot, Table, Walk};
use super::{
    Admin, CloudWatch, Config, Metrics, Otlp, OtlpProtocol, Privacy, Role, Traces, leases,
    receivers,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

words!(Role { "sidecar" => Self::Sidecar, "hub" => Self::Hub, "all" => Self::All });
words!(OtlpProtocol { "http/protobuf" => Self::HttpProtobuf, "grpc" => Self::Grpc });

/// Gives a file's text.
pub(super) type Open<'o> = &'o dyn Fn(&Path) -> std::io::Result<String>;

/// [`super::load`], with the files given.
pub(super) fn read(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
    flags: &Flags,
    open: Open<'_>,
) -> Result<Config, Faults> {
    let walk = Walk::default();
    let written = file.map_or(Ok(Node::empty()), |path| parse_file(path, open));
    let mut tree = written.unwrap_or_else(|fault| {
        walk.fault(fault);
        Node::empty()
    });
    sources::overlay(&mut tree, environment, flags);
    let config = root(&walk.root(&tree), environment, open);
    let faults = walk.into_faults();
    if faults.is_empty() { Ok(config) } else { Err(Faults(faults)) }
}

/// Reads one file into its tree. A file that cannot be read is a fault of nowhere.
pub(super) fn parse_file(path: &Path, open: Open<'_>) -> Result<Node, Fault> {
    let name = path.display().to_string();
    let text = open(path).map_err(|error| Fault {
        place: Place::Nowhere,
        path: name.clone(),
        why: format!("the file cannot be read: {error}"),
    })?;
    raw::parse(&text, &name)
}

fn root(spot: &Spot<'_>, environment: &BTreeMap<String, String>, open: Open<'_>) -> Config {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
    let mut warnings = Vec::new();
    let mut table = spot.table();
    let role = table.key("role").or(Role::Sidecar);
    let admin_spot = table.key("admin");
    let service_name = service(&table.key("service"))
        .or_else(|| variable("OTEL_SERVICE_NAME"))
        .unwrap_or_else(|| {
            warnings.push(
                "nothing names the service, so its consumer label is `unknown`: \
                 set service.name or OTEL_SERVICE_NAME"
                    .to_owned(),
            );
            "unknown".to_owned()
        });
    let (hub_endpoint, hub_standby) = hub(&table.key("hub"), role, &mut warnings);
    let config = Config {
        role,
        service_name,
        region: region(&table.key("region"))
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION")),
        external_labels: external_labels(&table.key("external_labels")),
        hub_endpoint,
        hub_standby,
        proxy: proxy(&table.key("proxy"), environment, open, &mut warnings),
        cloudwatch: cloudwatch(&table.key("cloudwatch"), role),
        leases: leases::leases(&table.key("leases"), role, &mut warnings),
        otlp: otlp(&table.key("otlp"), role),
        traces: traces(&table.key("traces")),
        privacy: privacy(&table.key("privacy")),
        metrics: metrics(&table.key("metrics")),
        alerts: receivers::alerts(&table.key("alerts"), open),
        admin: admin(&admin_spot),
        state: state(&table.key("state")),
        limits: Limits::read(&table.key("limits")),
        warnings,
    };
    ports_differ(&config, &admin_spot);
    table.done();
    config
}

/// Reads the keys of one table that this version does not carry out.
fn later(table: &mut Table<'_>, keys: &[(&'static str, Later)]) {
    for (key, default) in keys {
        table.key(key).later(default);
    }
}

fn service(spot: &Spot<'_>) -> Option<String> {
    let mut table = spot.table();
    let name = table.key("name");
    let text: Option<String> = name.maybe();
    if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > 255) {
        name.fault("should have 1 to 255 bytes");
    }
    table.done();
    text
}

fn region(spot: &Spot<'_>) -> Option<String> {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let text: String = spot.maybe()?;
    if text.is_empty() || !text.bytes().all(letters) {
        spot.fault("should be a region's name, such as us-east-1");
    }
    Some(text)
}

/// Labels that every alert has of its own.
const OWN_LABELS: [&str; 6] = ["alertname", "region", "stream", "consumer", "shard", "severity"];

fn external_labels(spot: &Spot<'_>) -> BTreeMap<String, String> {
    let mut table = spot.table();
    let account = table.key("account");
    let mut labels = BTreeMap::new();
    // `auto` would ask AWS for the account; until then the label is left out.
    let asked = |account: &String| account != "auto" && !account.is_empty();
    labels.extend(account.maybe().filter(asked).map(|account| ("account".to_owned(), account)));
    for (name, value) in table.open() {
        if OWN_LABELS.contains(&name) {
            value.fault("is a label that every alert has of its own; take another name");
        }
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !first || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            value.fault("a label's name should have letters, digits and underscores only");
            continue;
        }
        let text: Option<String> = value.maybe().filter(|text: &String| !text.is_empty());
        labels.extend(text.map(|text| (name.to_owned(), text)));
    }
    labels
}

/// Where what must outlive a restart is kept. Null means memory only, here alone: elsewhere it is
/// as good as nothing.
fn state(spot: &Spot<'_>) -> Option<PathBuf> {
    match spot.is_null() {
        true => None,
        false => spot.or(Folder(Some(PathBuf::from("/var/lib/kinescope")))).0,
    }
}

/// `auto`, or a plain yes or no.
#[derive(Clone, Copy)]
enum Switch {
    Auto,
    On,
    Off,
}

impl Meaning for Switch {
    fn wanted() -> String {
        "one of: auto, on, off".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "on" | "true" => Some(Self::On),
            "off" | "false" => Some(Self::Off),
            _ => None,
        }
    }

    fn of_bool(truth: bool) -> Option<Self> {
        Some(if truth { Self::On } else { Self::Off })
    }
}

fn cloudwatch(spot: &Spot<'_>, role: Role) -> CloudWatch {
    let mut table = spot.table();
    let mut streams = table.key("streams").table();
    let patterns = |spot: Spot<'_>, default: &[&str]| -> Vec<String> {
        let default = default.iter().map(|text| Pattern((*text).to_owned())).collect();
        spot.list(default).into_iter().map(|Pattern(pattern)| pattern).collect()
    };
    let enabled = match (table.key("enabled").or(Switch::Auto), role) {
        (Switch::On, _) | (Switch::Auto, Role::Hub | Role::All) => true,
        (Switch::Off, _) | (Switch::Auto, Role::Sidecar) => false,
    };
    let cloudwatch = CloudWatch {
        enabled,
        endpoint: table.key("endpoint").maybe().map(|Endpoint { text, .. }| text),
        interval: positive(&table.key("interval"), Duration::from_secs(60)),
        delay: table.key("delay").or(Duration::from_secs(120)),
        include: patterns(streams.key("include"), &["*"]),
        exclude: patterns(streams.key("exclude"), &[]),
        tags: leases::tags(&streams.key("tags")),
    };
    streams.done();
    later(
        &mut table,
        &[
            ("shard_level", Later::Word("auto")),
            ("consumers", Later::Word("true")),
            ("lambda_functions", Later::Empty),
            ("firehose", Later::Empty),
            ("flink", Later::Empty),
            ("budget_dollars_per_month", Later::Word("25")),
        ],
    );
    table.done();
    cloudwatch
}

fn otlp(spot: &Spot<'_>, role: Role) -> Otlp {
    let mut table = spot.table();
    let endpoint = table.key("endpoint").maybe().map(|Endpoint { text, .. }| text);
    let protocol = table.key("protocol").maybe();
    let xray_spot = table.key("xray");
    let xray = xray_spot.or(false);
    if xray && endpoint.is_some() {
        xray_spot.fault("spans go either to X-Ray or to otlp.endpoint; leave one of them out");
    } else if xray && protocol == Some(OtlpProtocol::Grpc) {
        xray_spot.fault("X-Ray takes no gRPC; leave otlp.protocol out");
    }
    let mut receiver = table.key("receive").table();
    let at = receiver.key("listen");
    let receive = match role {
        Role::Sidecar if !at.given() => Vec::new(),
        Role::Sidecar | Role::Hub | Role::All => listen(&at, &["[::]:4595"]),
    };
    receiver.done();
    let otlp = Otlp { endpoint, protocol, xray, receive };
    table.done();
    otlp
}

/// The hub's address is its sidecars', and its standby its own; the hub itself sends its spans
/// nowhere.
fn hub(
    spot: &Spot<'_>,
    role: Role,
    warnings: &mut Vec<String>,
) -> (Option<String>, Option<String>) {
    let mut table = spot.table();
    let endpoint = table.key("endpoint").maybe().map(|Endpoint { text, .. }| text);
    let standby = leases::standby(&table.key("standby"), role, warnings);
    table.done();
    match (role, &endpoint) {
        (Role::Sidecar, _) | (Role::Hub | Role::All, None) => (endpoint, standby),
        (Role::Hub | Role::All, Some(_)) => {
            warnings.push("hub.endpoint is for sidecars: this process is a hub".to_owned());
            (None, standby)
        }
    }
}

fn traces(spot: &Spot<'_>) -> Traces {
    let mut table = spot.table();
    let traces = Traces {
        create_spans: table.key("create_spans").or(false),
        inferred_process: table.key("inferred_process").or(false),
        // 200: what a busy pod makes itself; more is a stranger's flag on every request.
        max_spans_per_second: table.key("max_spans_per_second").or(200_usize),
    };
    table.done();
    traces
}

fn privacy(spot: &Spot<'_>) -> Privacy {
    let mut table = spot.table();
    let fields = table.key("fields").list(vec!["eventType".to_owned()]);
    let key_file = table.key("key_file").maybe().map(|path: String| PathBuf::from(path));
    table.done();
    Privacy { fields, key_file }
}

fn metrics(spot: &Spot<'_>) -> Metrics {
    let mut table = spot.table();
    // 20000: a scrape of about 4 MB, which Prometheus takes in a second.
    let metrics = Metrics { max_series: table.key("max_series").or(20_000) };
    table.key("per_shard").later(&Later::Word("top"));
    table.done();
    metrics
}

fn admin(spot: &Spot<'_>) -> Admin {
    let mut table = spot.table();
    let admin = Admin {
        listen: listen(&table.key("listen"), &["[::]:9590"]),
        token_file: table.key("token_file").maybe().map(|path: String| PathBuf::from(path)),
    };
    table.done();
    admin
}

/// Two listeners of one port would be found out only at start, by whichever comes second.
fn ports_differ(config: &Config, admin: &Spot<'_>) {
    let meets = |a: &SocketAddr, b: &SocketAddr| {
        let any = |ip: IpAddr| ip.is_unspecified();
        a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || any(a.ip()) || any(b.ip()))
    };
    let ours = &config.admin.listen;
    let proxy = &config.proxy;
    let tls = proxy.tls.iter().map(|tls| ("proxy.tls.listen", &tls.listen));
    let apps = proxy.apps.iter().map(|app| ("proxy.apps", &app.listen));
    let receive = [("otlp.receive.listen", &config.otlp.receive)];
    let plain = [("proxy.listen", &proxy.listen)].into_iter();
    for (name, listen) in plain.chain(tls).chain(apps).chain(receive) {
        if ours.iter().any(|a| listen.iter().any(|b| meets(a, b))) {
            admin.fault(format!("`listen` should not have an address of {name}"));
        }
    }
}
