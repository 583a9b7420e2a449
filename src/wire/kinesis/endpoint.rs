//! Owns which host a call goes to: the SDKs' own endpoint rules of Kinesis, without the custom
//! endpoint, which is the caller's to honour first. Refuses to look anything up, and any name that
//! is no host label: what an application wrote never picks a host outside AWS' own suffixes.
//! Source: the endpoint rule set and the partitions of botocore 1.44.5 (2026-11), whose own
//! resolver made `endpoint_vectors.txt`; reference/wire-and-proxy.md 1.6.

use std::fmt;

/// A host name of Kinesis, to be called with https on port 443.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host(String);

impl Host {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which kind of hosts the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Hosts whose cryptography is FIPS 140 validated.
    pub fips: bool,
    /// Hosts that answer over IPv6 too.
    pub dual_stack: bool,
}

/// What the rules look at in a call: its region and operation, and what its body names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Call<'a> {
    /// The region of the credential scope.
    pub region: &'a str,
    /// Whether the operation is of the data plane ([`Operation::is_data`](super::operation::Operation::is_data)); else it is of the control plane.
    pub data: bool,
    /// Whether the operation is one on queues ([`Operation::is_queue`](super::operation::Operation::is_queue)).
    pub is_queue_operation: bool,
    /// `StreamId`: 20 characters, a dash, 3 characters. Another form is passed over.
    pub stream_id: Option<&'a str>,
    /// `StreamARN`.
    pub stream_arn: Option<&'a str>,
    /// `ConsumerARN`.
    pub consumer_arn: Option<&'a str>,
    /// `ResourceARN`: of a stream, a channel or a queue.
    pub resource_arn: Option<&'a str>,
    /// `ChannelARN`.
    pub channel_arn: Option<&'a str>,
    /// `QueueARN`.
    pub queue_arn: Option<&'a str>,
    /// The caller's account, where it is known and `AWS_ACCOUNT_ID_ENDPOINT_MODE` is not
    /// `disabled`; used where nothing else names a host. (`required` is the caller's to enforce.)
    pub account: Option<&'a str>,
}

/// Why no host can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointFault {
    /// An empty region, or one that would make a host of another owner.
    #[error("the region of the credential scope cannot be part of a host name")]
    Region,
    /// The account is no host label.
    #[error("the account of the credentials cannot be part of a host name")]
    Account,
    /// The two parts of a stream id are no host labels.
    #[error("the stream id cannot be part of a host name")]
    StreamId,
    /// Not an ARN of Kinesis with an account and a region.
    #[error("not an ARN of Kinesis")]
    Arn,
    /// The ARN's partition is not the region's.
    #[error("the ARN and the region belong to different partitions of AWS")]
    Partition,
    /// Such as a queue where a stream is expected.
    #[error("the ARN names another kind of resource than the call needs")]
    Kind,
    /// A channel or queue ARN without an id, or with one that is no host label.
    #[error("the id in the ARN cannot be part of a host name")]
    Id,
    /// A channel is named by a data operation, or a queue by one that is not on queues.
    #[error("the operation does not take an ARN of this kind")]
    Operation,
}

/// A part of AWS with names of its own.
#[derive(Debug)]
struct Partition {
    name: &'static str,
    /// How its regions begin; a word and a number follow.
    regions: &'static str,
    /// Its region that stands for no place.
    global: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
}

impl Partition {
    /// In isolated regions of the first two kinds no account or id is part of a host.
    fn has_plain_hosts_only(&self) -> bool {
        matches!(self.name, "aws-iso" | "aws-iso-b")
    }
}

const fn partition(
    name: &'static str,
    regions: &'static str,
    global: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
) -> Partition {
    Partition { name, regions, global, suffix, dual_stack_suffix }
}

/// Where a region goes that is in no other partition, as the SDKs have it: new regions come often.
const COMMERCIAL: Partition = partition("aws", "", "aws-global", "amazonaws.com", "api.aws");

const OTHERS: [Partition; 7] = [
    partition("aws-cn", "cn-", "aws-cn-global", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    partition("aws-us-gov", "us-gov-", "aws-us-gov-global", "amazonaws.com", "api.aws"),
    partition("aws-eusc", "eusc-de-", "", "amazonaws.eu", "api.amazonwebservices.eu"),
    partition("aws-iso", "us-iso-", "aws-iso-global", "c2s.ic.gov", "api.aws.ic.gov"),
    partition("aws-iso-b", "us-isob-", "aws-iso-b-global", "sc2s.sgov.gov", "api.aws.scloud"),
    partition(
        "aws-iso-e",
        "eu-isoe-",
        "aws-iso-e-global",
        "cloud.adc-e.uk",
        "api.cloud-aws.adc-e.uk",
    ),
    partition("aws-iso-f", "us-isof-", "aws-iso-f-global", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
];

/// Names the host of a call. What names it, from the strongest to the weakest: the stream's id, an
/// ARN, the account, the region.
///
/// # Errors
/// [`EndpointFault`] where the SDK would refuse the call too, and where a name in it is no host
/// label.
pub fn resolve(call: &Call<'_>, settings: &Settings) -> Result<Host, EndpointFault> {
    // Buckets are named by their owners, and an old form of their hosts ends like a region's.
    if !is_label(call.region) || call.region.starts_with("s3") {
        return Err(EndpointFault::Region);
    }
    let partition = partition_of(call.region);
    let call = if partition.has_plain_hosts_only() { isolated(call) } else { *call };
    let to = |first: &str, queues| Ok(host(first, queues, call.region, partition, *settings));
    let to_id = |id: &str, queues| match partition.has_plain_hosts_only() {
        true => to(PLAIN, queues),
        false => {
            to(&format!("{id}.{}-kinesis", if call.data { "data" } else { "control" }), queues)
        }
    };
    if let Some((stream, suffix)) = call.stream_id.and_then(split_stream_id) {
        let valid = is_label(stream) && is_label(suffix);
        let id = format!("{stream}.{suffix}");
        return if valid { to_id(&id, false) } else { Err(EndpointFault::StreamId) };
    }
    if let Some(arn) = call.stream_arn.or(call.consumer_arn) {
        return to_id(Arn::of(arn, partition)?.of_kind("stream")?.account, false);
    }
    if let Some(arn) = call.resource_arn {
        let arn = Arn::of(arn, partition)?;
        return match arn.kind {
            "stream" => to_id(arn.account, false),
            "channel" | "queue" => to_id(arn.label()?, arn.kind == "queue"),
            _ => Err(EndpointFault::Kind),
        };
    }
    if let Some(arn) = call.channel_arn {
        let id = Arn::of(arn, partition)?.of_kind("channel")?.label()?;
        return if call.data { Err(EndpointFault::Operation) } else { to_id(id, false) };
    }
    match (call.queue_arn, call.account) {
        (Some(_), _) if !call.is_queue_operation => Err(EndpointFault::Operation),
        (Some(arn), _) => to_id(Arn::of(arn, partition)?.of_kind("queue")?.label()?, true),
        (None, Some(account)) if !is_label(account) => Err(EndpointFault::Account),
        (None, Some(account)) => to_id(account, call.is_queue_operation),
        (None, None) => to(PLAIN, call.is_queue_operation),
    }
}

/// The call as the rules of the isolated partitions see it: only queues are named.
fn isolated<'a>(call: &Call<'a>) -> Call<'a> {
    let is_queue = |arn: &&str| Arn::parse(arn).is_some_and(|arn| arn.kind == "queue");
    Call {
        region: call.region,
        data: call.data,
        is_queue_operation: call.is_queue_operation,
        resource_arn: call.resource_arn.filter(is_queue),
        queue_arn: call.queue_arn,
        ..Call::default()
    }
}

/// What a host begins with that carries nobody's id.
const PLAIN: &str = "kinesis";

fn host(first: &str, queues: bool, region: &str, of: &Partition, settings: Settings) -> Host {
    // GovCloud's usual host is the FIPS one.
    let is_fips_already =
        of.name == "aws-us-gov" && first == PLAIN && !queues && !settings.dual_stack;
    let queues = if queues { "-queues" } else { "" };
    let fips = if settings.fips && !is_fips_already { "-fips" } else { "" };
    let suffix = if settings.dual_stack { of.dual_stack_suffix } else { of.suffix };
    Host(format!("{first}{queues}{fips}.{region}.{suffix}"))
}

fn partition_of(region: &str) -> &'static Partition {
    let is_in = |partition: &&Partition| {
        region == partition.global
            || region
                .strip_prefix(partition.regions)
                .and_then(|rest| rest.split_once('-'))
                .is_some_and(|(word, number)| is_word(word) && is_number(number))
    };
    OTHERS.iter().find(is_in).unwrap_or(&COMMERCIAL)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// One part of a host's name after RFC 1123.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The two parts, where the dashes stand that the rules look for: behind the 20th character and
/// before the last three.
fn split_stream_id(id: &str) -> Option<(&str, &str)> {
    let dashes = id.is_ascii() && id.get(20..21) == Some("-");
    let from_the_end = id.len().checked_sub(4)?;
    let dashes = dashes && id.get(from_the_end..=from_the_end) == Some("-");
    Some((id.get(..20)?, id.get(21..24)?)).filter(|_| dashes)
}

/// What the rules read of an ARN: `arn:PARTITION:SERVICE:REGION:ACCOUNT:KIND/ID…`.
#[derive(Debug, Clone, Copy)]
struct Arn<'a> {
    partition: &'a str,
    service: &'a str,
    region: &'a str,
    account: &'a str,
    kind: &'a str,
    id: Option<&'a str>,
}

impl<'a> Arn<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let head = parts.next()?;
        let (partition, service) = (parts.next()?, parts.next()?);
        let (region, account) = (parts.next()?, parts.next()?);
        let mut resource = parts.next()?.split([':', '/']);
        let (kind, id) = (resource.next()?, resource.next());
        (head == "arn" && !partition.is_empty()).then_some(Self {
            partition,
            service,
            region,
            account,
            kind,
            id,
        })
    }

    /// An ARN of Kinesis in this partition.
    fn of(text: &'a str, partition: &Partition) -> Result<Self, EndpointFault> {
        let arn = Self::parse(text).ok_or(EndpointFault::Arn)?;
        let whole = is_label(arn.account) && is_label(arn.region) && !arn.kind.is_empty();
        match (whole && arn.service == "kinesis", arn.partition == partition.name) {
            (false, _) => Err(EndpointFault::Arn),
            (true, false) => Err(EndpointFault::Partition),
            (true, true) => Ok(arn),
        }
    }

    fn of_kind(self, kind: &str) -> Result<Self, EndpointFault> {
        if self.kind == kind { Ok(self) } else { Err(EndpointFault::Kind) }
    }

    /// The id, as part of a host's name.
    fn label(&self) -> Result<&'a str, EndpointFault> {
        self.id.filter(|id| is_label(id)).ok_or(EndpointFault::Id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `region plane[+queue][+fips][+dual] [what=name]… -> host`, or `!Fault`.
    fn answer(line: &str) -> (String, &str) {
        let (call, expected) = line.split_once(" -> ").unwrap();
        let mut words = call.split(' ');
        let region = words.next().unwrap();
        let flags: Vec<&str> = words.next().unwrap().split('+').collect();
        let names: Vec<(&str, &str)> = words.map(|word| word.split_once('=').unwrap()).collect();
        let name = |key| names.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let call = Call {
            region,
            data: flags.contains(&"data"),
            is_queue_operation: flags.contains(&"queue"),
            stream_id: name("stream_id"),
            stream_arn: name("stream"),
            consumer_arn: name("consumer"),
            resource_arn: name("resource"),
            channel_arn: name("channel"),
            queue_arn: name("queue"),
            account: name("account"),
        };
        let settings =
            Settings { fips: flags.contains(&"fips"), dual_stack: flags.contains(&"dual") };
        let answer = resolve(&call, &settings);
        (answer.map_or_else(|fault| format!("!{fault:?}"), |host| host.to_string()), expected)
    }

    fn check(line: &str) {
        let (answer, expected) = answer(line);
        assert_eq!(answer, expected, "{line}");
    }

    #[test]
    fn botocore_calls_the_same_hosts() {
        let vectors = include_str!("endpoint_vectors.txt");
        let lines: Vec<&str> = vectors.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() > 140, "the table is {} lines", lines.len());
        lines.into_iter().for_each(check);
    }

    #[test]
    fn no_name_of_a_request_makes_a_host_of_another_owner() {
        let long = "a".repeat(64);
        for region in
            ["", "evil.com/", "a.b", "-a", "a-", "a_b", "é", "a:1", "s3", "s3-us-west-2", &long]
        {
            check(&format!("{region} data -> !Region"));
            check(&format!("{region} data account=123456789012 -> !Region"));
        }
        check("us-east-1 data stream_id=evil.com/aaaaaaaaaaa-abc -> !StreamId");
        check("us-east-1 data stream_id=aaaaaaaaaaaaaaaaaaaa-a.c -> !StreamId");
        check("us-east-1 data stream=arn:aws:kinesis:us-east-1:evil.com/:stream/s -> !Arn");
        check("us-east-1 data stream=arn:aws:kinesis:us-east-1:\n:stream/s -> !Arn");
        check("us-east-1 data account=1.evil -> !Account");
        // No ARN is cut in the middle of a letter.
        for end in 0..60 {
            let arn: String = "arn:aws:kinesis:é:1:stream/é:queue/ü".chars().take(end).collect();
            check(&format!("us-east-1 data stream={arn} stream_id={arn} -> !Arn"));
        }
    }
}
