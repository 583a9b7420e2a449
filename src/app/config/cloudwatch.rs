//! Owns what the keys under `cloudwatch` mean, and which of a hub's replicas this process is.
//! Refuses to guess an ordinal: two replicas with one would poll and pay twice.

use super::limits::positive;
use super::sections::Switch;
use super::value::{Endpoint, Meaning, Pattern};
use super::walk::{Spot, Table};
use crate::app::config::Role;
use crate::domain::cloudwatch::{Function, Share};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is asked for by default, a month.
const DOLLARS: f64 = 25.0;
/// More replicas than this are a mistake: each polls ten thousand streams within a minute.
const REPLICAS_MAX: usize = 1_000;

/// The CloudWatch poller's part.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudWatch {
    /// Whether it polls; `auto` is resolved: on in hub and all, off in a sidecar.
    pub enabled: bool,
    /// In place of CloudWatch's own endpoint.
    pub endpoint: Option<String>,
    /// Between two polls.
    pub interval: Duration,
    /// How old a point must at least be to be settled.
    pub delay: Duration,
    /// Globs on stream names that are polled …
    pub include: Vec<String>,
    /// … and of those, the ones that are not.
    pub exclude: Vec<String>,
    /// Tags that a stream must have, all of them; the values are globs.
    pub tags: BTreeMap<String, String>,
    /// Shards with enhanced monitoring, where there are any.
    pub shard_level: bool,
    /// Consumers with enhanced fan-out.
    pub consumers: bool,
    /// Lambda functions.
    pub functions: Vec<Function>,
    /// Firehose streams: globs.
    pub firehose: Vec<String>,
    /// Flink applications: globs.
    pub flink: Vec<String>,
    /// Of the whole hub; `None`: as many as it takes.
    pub dollars_per_month: Option<f64>,
}

/// Dollars, or `unlimited`.
pub(super) struct Dollars(pub(super) Option<f64>);

impl Meaning for Dollars {
    fn wanted() -> String {
        "a number of dollars above 0, or unlimited".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        (text == "unlimited").then_some(Self(None))
    }

    fn of_number(number: &str) -> Option<Self> {
        let dollars = number.parse().ok();
        dollars.filter(|it: &f64| it.is_finite() && *it > 0.0).map(|it| Self(Some(it)))
    }

    fn of_loose(text: &str) -> Option<Self> {
        Self::of_text(text).or_else(|| Self::of_number(text))
    }
}

/// Reads the section.
pub(super) fn cloudwatch(spot: &Spot<'_>, role: Role) -> CloudWatch {
    let mut table = spot.table();
    let mut streams = table.key("streams").table();
    let enabled = match (table.key("enabled").or(Switch::Auto), role) {
        (Switch::On, _) | (Switch::Auto, Role::Hub | Role::All) => true,
        (Switch::Off, _) | (Switch::Auto, Role::Sidecar) => false,
    };
    let cloudwatch = CloudWatch {
        enabled,
        endpoint: table.key("endpoint").maybe().map(|Endpoint { text, .. }| text),
        interval: positive(&table.key("interval"), Duration::from_secs(60)),
        delay: table.key("delay").or(Duration::from_secs(120)),
        include: patterns(&streams.key("include"), &["*"]),
        exclude: patterns(&streams.key("exclude"), &[]),
        tags: tags(&streams.key("tags")),
        shard_level: table.key("shard_level").or(Switch::Auto) != Switch::Off,
        consumers: table.key("consumers").or(true),
        functions: functions(&table.key("lambda_functions")),
        firehose: patterns(&table.key("firehose"), &[]),
        flink: patterns(&table.key("flink"), &[]),
        dollars_per_month: table.key("budget_dollars_per_month").or(Dollars(Some(DOLLARS))).0,
    };
    streams.done();
    table.done();
    cloudwatch
}

fn patterns(spot: &Spot<'_>, default: &[&str]) -> Vec<String> {
    let default = default.iter().map(|text| Pattern((*text).to_owned())).collect();
    spot.list(default).into_iter().map(|Pattern(pattern)| pattern).collect()
}

fn tags(spot: &Spot<'_>) -> BTreeMap<String, String> {
    let table = spot.table();
    let tags = table.open().into_iter();
    tags.filter_map(|(name, value)| Some((name.to_owned(), value.maybe()?))).collect()
}

/// Names, or maps of a name and the event source mappings that have metrics of their own.
fn functions(spot: &Spot<'_>) -> Vec<Function> {
    let plain = |Pattern(name)| Function { name, event_source_mappings: Vec::new() };
    if spot.is_loose() {
        return spot.list(Vec::new()).into_iter().map(plain).collect();
    }
    let items = spot.items().unwrap_or_default();
    let read = |item: &Spot<'_>| {
        if !item.is_map() {
            return item.maybe().map(plain);
        }
        let mut table = item.table();
        let name = table.key("name").maybe();
        let event_source_mappings = table.key("event_source_mappings").list(Vec::new());
        table.done();
        if name.is_none() {
            item.fault("should have a `name`");
        }
        name.map(|Pattern(name)| Function { name, event_source_mappings })
    };
    items.iter().filter_map(read).collect()
}

/// `hub.replicas` and `hub.ordinal`: which of how many hubs this is. A StatefulSet's pods are told by
/// the number at the end of their name, which is their HOSTNAME.
pub(super) fn share(table: &mut Table<'_>, environment: &BTreeMap<String, String>) -> Share {
    let (replicas, ordinal) = (table.key("replicas"), table.key("ordinal"));
    let count = replicas.or_if(
        1_usize,
        |count| *count <= REPLICAS_MAX,
        "should be a whole number from 1 to 1000",
    );
    let given: Option<Ordinal> = ordinal.maybe();
    let of_name = || environment.get("HOSTNAME")?.rsplit_once('-')?.1.parse().ok();
    let count = u32::try_from(count).unwrap_or(1);
    match given.map(|Ordinal(ordinal)| ordinal).or_else(of_name) {
        _ if count == 1 => Share::default(),
        Some(ordinal) if ordinal < count => Share { ordinal, replicas: count },
        Some(_) if ordinal.given() => {
            ordinal.fault("should be below hub.replicas; the first replica is 0");
            Share::default()
        }
        Some(_) => {
            replicas.fault("should be above the number at the end of HOSTNAME; pods count from 0");
            Share::default()
        }
        None => {
            replicas.fault(
                "should stand beside hub.ordinal where HOSTNAME does not end in a StatefulSet's \
                 number: replicas with one ordinal would poll, and pay, twice",
            );
            Share::default()
        }
    }
}

/// A replica's number.
struct Ordinal(u32);

impl Meaning for Ordinal {
    fn wanted() -> String {
        "a whole number from 0".to_owned()
    }

    fn of_text(_text: &str) -> Option<Self> {
        None
    }

    fn of_number(number: &str) -> Option<Self> {
        number.parse().ok().map(Self)
    }

    fn of_loose(text: &str) -> Option<Self> {
        Self::of_number(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::{Config, Faults, Flags, load_with};

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, Faults> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let open = |_: &std::path::Path| Ok(text.to_owned());
        let path = std::path::Path::new("k.yaml");
        load_with(Some(path), &environment.collect(), &Flags::default(), &open)
    }

    fn faults(text: &str, environment: &[(&str, &str)]) -> String {
        read(text, environment).unwrap_err().to_string()
    }

    #[test]
    fn every_key_is_read() {
        let text = "role: hub\ncloudwatch:\n  streams: { include: ['a*'], tags: { team: 'pay*' } }\n  \
                    shard_level: off\n  consumers: false\n  \
                    lambda_functions: [plain, { name: mapped, event_source_mappings: [u-1] }]\n  \
                    firehose: [pipe]\n  flink: ['app-*']\n  budget_dollars_per_month: 7.5\n";
        let read = read(text, &[]).unwrap().cloudwatch;
        assert!(read.enabled && !read.shard_level && !read.consumers);
        assert_eq!(read.tags, BTreeMap::from([("team".to_owned(), "pay*".to_owned())]));
        let [plain, mapped] = read.functions.as_slice() else { panic!("{:?}", read.functions) };
        assert_eq!((plain.name.as_str(), plain.event_source_mappings.len()), ("plain", 0));
        assert_eq!((mapped.name.as_str(), mapped.event_source_mappings.len()), ("mapped", 1));
        assert_eq!((read.firehose, read.flink), (vec!["pipe".into()], vec!["app-*".into()]));
        assert_eq!(read.dollars_per_month, Some(7.5));
    }

    #[test]
    fn money_is_a_number_or_no_object() {
        let check = |value: &str, expected: Option<Option<f64>>| {
            let text = format!("cloudwatch: {{ budget_dollars_per_month: {value} }}\n");
            let read = read(&text, &[]).ok().map(|config| config.cloudwatch.dollars_per_month);
            assert_eq!(read, expected, "{value}");
        };
        check("null", Some(Some(25.0)));
        check("unlimited", Some(None));
        check("0.5", Some(Some(0.5)));
        for wrong in ["0", "-1", ".inf", ".nan", "much", "true"] {
            check(wrong, None);
        }
        let loose = [("KINESCOPE_CLOUDWATCH__BUDGET_DOLLARS_PER_MONTH", "12")];
        assert_eq!(read("", &loose).unwrap().cloudwatch.dollars_per_month, Some(12.0));
    }

    #[test]
    fn a_replica_knows_which_it_is() {
        let check = |hub: &str, hostname: &str, expected: (u32, u32)| {
            let read = read(&format!("hub: {{ {hub} }}\n"), &[("HOSTNAME", hostname)]).unwrap();
            assert_eq!((read.hub_share.ordinal, read.hub_share.replicas), expected, "{hub}");
        };
        check("", "hub-7", (0, 1));
        check("replicas: 3", "hub-2", (2, 3));
        check("replicas: 3, ordinal: 1", "laptop", (1, 3));
        check("replicas: 3, ordinal: 0", "hub-2", (0, 3));
        let told = |hub: &str, hostname: &str| {
            faults(&format!("hub: {{ {hub} }}\n"), &[("HOSTNAME", hostname)])
        };
        assert!(told("replicas: 3", "laptop").contains("hub.replicas: should stand beside"));
        assert!(told("replicas: 2", "hub-2").contains("number at the end of HOSTNAME"));
        assert!(told("replicas: 2, ordinal: 2", "hub-0").contains("hub.ordinal: should be below"));
        assert!(told("replicas: 1001", "hub-0").contains("from 1 to 1000"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let text = "cloudwatch:\n  shard_level: maybe\n  lambda_functions: [{ nam: x }]\n  \
                    streams: { tags: { team: [a] } }\n  firehos: []\n";
        let told = faults(text, &[]);
        for part in [
            "k.yaml:2:16: cloudwatch.shard_level: should be one of: auto, on, off",
            "k.yaml:3:22: cloudwatch.lambda_functions[0]: should have a `name`",
            "k.yaml:3:24: cloudwatch.lambda_functions[0].nam: unknown key; did you mean `name`?",
            "k.yaml:4:28: cloudwatch.streams.tags.team: should be text",
            "k.yaml:5:3: cloudwatch.firehos: unknown key; did you mean `firehose`?",
        ] {
            assert!(told.contains(part), "no {part} in\n{told}");
        }
    }
}
