//! Owns the laws of the endpoint rules: whatever a call names, its host is one of AWS.

use kinescope::wire::kinesis::endpoint::{Call, Settings, resolve};
use kinescope::wire::kinesis::operation::Operation;

const SUFFIXES: [&str; 14] = [
    ".amazonaws.com",
    ".api.aws",
    ".amazonaws.com.cn",
    ".api.amazonwebservices.com.cn",
    ".amazonaws.eu",
    ".api.amazonwebservices.eu",
    ".c2s.ic.gov",
    ".api.aws.ic.gov",
    ".sc2s.sgov.gov",
    ".api.aws.scloud",
    ".cloud.adc-e.uk",
    ".api.cloud-aws.adc-e.uk",
    ".csp.hci.ic.gov",
    ".api.aws.hci.ic.gov",
];

/// Lines: region, operation, then `StreamId`, `StreamARN`, `ConsumerARN`, `ResourceARN`,
/// `ChannelARN`, `QueueARN` and the account, each absent where it is empty.
pub fn endpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let region = lines.next().unwrap_or_default();
    let operation = lines.next().unwrap_or_default();
    let known = Operation::from_target(&format!("Kinesis_20131202.{operation}"));
    let known = known.unwrap_or(Operation::Other);
    if known != Operation::Other {
        assert_eq!(known.as_str(), operation);
    }
    let mut line = || lines.next().filter(|line| !line.is_empty());
    let call = Call {
        region,
        data: known.is_data(),
        is_queue_operation: known.is_queue(),
        stream_id: line(),
        stream_arn: line(),
        consumer_arn: line(),
        resource_arn: line(),
        channel_arn: line(),
        queue_arn: line(),
        account: line(),
    };
    for (fips, dual_stack) in [(false, false), (true, false), (false, true), (true, true)] {
        let Ok(host) = resolve(&call, &Settings { fips, dual_stack }) else { continue };
        let host = host.as_str();
        let suffix = SUFFIXES.iter().filter_map(|suffix| host.strip_suffix(suffix)).min();
        let rest = suffix.unwrap_or_else(|| panic!("{host} is not a host of AWS"));
        assert!(rest.ends_with(&format!(".{region}")), "{host} is in another region");
        assert!(rest.contains("kinesis"), "{host} is another service's");
        for label in host.split('.') {
            let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            assert!((1..=63).contains(&label.len()) && label.bytes().all(inside), "{host}");
            assert!(!label.starts_with('-') && !label.ends_with('-'), "{host}");
        }
    }
}
