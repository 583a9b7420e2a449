//! Owns one comparison: splicing context into a put against the SHA-256 that the signature needs
//! for the same body, for puts of several shapes.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark ends where it cannot measure, and prints"
)]

mod puts;

use bytes::Bytes;
use kinescope::wire::kinesis::form::WireForm;
use puts::{Times, json, large, order, pad};

fn main() {
    println!("{:<44}{:>12}{:>12}{:>8}", "", "splice", "SHA-256", "ratio");
    let (order, text) = (order(), text(1 << 10));
    compare("500 x 1 KiB, many short members, JSON", WireForm::Json, json(&order, 500));
    compare("500 x 1 KiB, many short members, CBOR", WireForm::Cbor, cbor(&order, 500));
    compare("500 x 1 KiB, one long text, JSON", WireForm::Json, json(&text, 500));
    compare("500 x 1 KiB, one long text, CBOR", WireForm::Cbor, cbor(&text, 500));
    compare("1 KiB, many short members, JSON", WireForm::Json, json(&order, 1));
    let large = large();
    compare("1 MiB, many short members, JSON", WireForm::Json, json(&large, 1));
    compare("1 MiB, many short members, CBOR", WireForm::Cbor, cbor(&large, 1));
}

fn compare(name: &str, form: WireForm, body: Bytes) {
    let Times { splice, hash } = puts::measure(form, &body);
    let ratio = splice.as_secs_f64() / hash.as_secs_f64();
    println!("{name:<44}{splice:>12.1?}{hash:>12.1?}{ratio:>8.2}");
}

fn text(bytes: usize) -> String {
    pad("{\"eventType\":\"NOTE_WRITTEN\",\"note\":\"".to_owned(), bytes)
}

/// As the AWS SDKs for Java write it: lengths of maps and arrays left open.
fn cbor(payload: &str, records: usize) -> Bytes {
    let record = [
        &b"\xbf\x64Data\x5a"[..],
        &u32::try_from(payload.len()).expect("a record").to_be_bytes(),
        payload.as_bytes(),
        b"\x6cPartitionKey\x67user-42\xff",
    ];
    let records = record.concat().repeat(records);
    [&b"\xbf\x67Records\x9f"[..], &records, b"\xff\x6aStreamName\x66orders\xff"].concat().into()
}
