//! Owns what each key of the configuration means: one straight walk over the tree of what was
//! written. Refuses to touch files except through the opener it is given.

use super::cloudwatch;
use super::fault::{Fault, Faults, Place};
use super::limits::Limits;
use super::proxy::{listen, proxy};
use super::raw::{self, Node};
use super::receiver_kinds::Reader;
use super::sources::{self, Flags};
#[cfg(test)]
use super::survey::Asked;
use super::value::{Endpoint, Folder, Meaning, words};
use super::walk::{Spot, Walk};
use super::{
    Admin, Config, Metrics, Otlp, OtlpProtocol, PerShard, Privacy, Role, Traces, leases, receivers,
};
use crate::domain::cloudwatch::Share;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

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

/// Every key that the walk asks for, where nobody wrote any.
#[cfg(test)]
pub(crate) fn survey() -> Vec<Asked> {
    let walk = Walk::surveying();
    let nothing = Node::empty();
    let no_file =
        |_: &Path| -> std::io::Result<String> { Err(std::io::ErrorKind::NotFound.into()) };
    let _config = root(&walk.root(&nothing), &BTreeMap::new(), &no_file);
    walk.into_asked()
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
    let written_region = region(&table.key("region"));
    let external_labels = external_labels(&table.key("external_labels"));
    let Hub { endpoint: hub_endpoint, share: hub_share, standby: hub_standby } =
        hub(&table.key("hub"), role, environment, &mut warnings);
    let has_hub = hub_endpoint.is_some();
    let config = Config {
        role,
        service_name,
        region: written_region
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION")),
        external_labels,
        hub_endpoint,
        hub_share,
        hub_standby,
        proxy: proxy(&table.key("proxy"), environment, open, &mut warnings),
        cloudwatch: cloudwatch::cloudwatch(&table.key("cloudwatch"), role),
        leases: leases::leases(&table.key("leases"), role, &mut warnings),
        otlp: otlp(&table.key("otlp"), role),
        traces: traces(&table.key("traces")),
        privacy: privacy(&table.key("privacy")),
        metrics: metrics(&table.key("metrics")),
        alerts: receivers::alerts(
            &table.key("alerts"),
            open,
            Reader { open, alone: role == Role::Sidecar && !has_hub, warnings: &mut warnings },
        ),
        admin: admin(&admin_spot),
        state: state(&table.key("state")),
        limits: Limits::read(&table.key("limits"), role),
        warnings,
    };
    ports_differ(&config, &admin_spot);
    table.done();
    config
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
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
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

/// What `hub` says.
struct Hub {
    endpoint: Option<String>,
    share: Share,
    standby: Option<String>,
}

/// The hub's address is its sidecars', its share and its standby are its own; the hub itself sends
/// its spans nowhere.
fn hub(
    spot: &Spot<'_>,
    role: Role,
    environment: &BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> Hub {
    let mut table = spot.table();
    let endpoint = table.key("endpoint").maybe().map(|Endpoint { text, .. }| text);
    let share = cloudwatch::share(&mut table, environment);
    let standby = leases::standby(&table.key("standby"), role, warnings);
    table.done();
    let endpoint = match (role, &endpoint) {
        (Role::Sidecar, _) | (Role::Hub | Role::All, None) => endpoint,
        (Role::Hub | Role::All, Some(_)) => {
            warnings.push("hub.endpoint is for sidecars: this process is a hub".to_owned());
            None
        }
    };
    Hub { endpoint, share, standby }
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

impl Meaning for PerShard {
    fn wanted() -> String {
        "one of: top, all, none".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        match text {
            "top" => Some(Self::Top),
            "all" => Some(Self::All),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

fn metrics(spot: &Spot<'_>) -> Metrics {
    let mut table = spot.table();
    // 20000: a scrape of about 4 MB, which Prometheus takes in a second.
    let metrics = Metrics {
        per_shard: table.key("per_shard").or(PerShard::Top),
        max_series: table.key("max_series").or(20_000),
    };
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
