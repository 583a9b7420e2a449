//! Owns the laws of what is read of a client's signature and access key.

use kinescope::domain::time::Wall;
use kinescope::wire::kinesis::account::account_of;
use kinescope::wire::kinesis::fault::AccountId;
use kinescope::wire::sigv4::{BodyHash, Request, SigningKey, client_scope, sign};

/// The account by other arithmetic: the first six bytes of the decoded key, one bit from the end
/// of the first, seven from the last.
pub fn account(data: &[u8]) {
    let Ok(key) = std::str::from_utf8(data) else { return };
    let Some(account) = account_of(key) else { return };
    assert!(AccountId::parse(&account).is_some_and(|id| id.to_string() == account));
    let (kind, encoded) = key.split_at(4);
    assert!(matches!(kind, "AKIA" | "ASIA") && encoded.len() == 16);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bits = String::new();
    for byte in encoded.bytes() {
        let value = alphabet.iter().position(|known| *known == byte).unwrap();
        bits.push_str(&format!("{value:05b}"));
    }
    let first = u64::from_str_radix(&bits[..48], 2).unwrap();
    assert_eq!(format!("{:012}", (first & 0x7fff_ffff_ff80) >> 7), account);
}

pub fn authorization(data: &[u8]) {
    let Ok(header) = std::str::from_utf8(data) else { return };
    let Some(scope) = client_scope(header) else { return };
    for part in [scope.access_key_id, scope.region, scope.service] {
        assert!(!part.is_empty() && header.contains(part));
    }
    assert!(scope.region.len() <= 32);
    assert!(scope.region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    // What we sign for that key and region reads back as it.
    let now = Wall::from_ms(1_764_000_000_123);
    let key = SigningKey::derive("secret", scope.region, now);
    let body_hash = BodyHash::of(data);
    let request =
        Request { host: "h", content_type: None, target: None, token: None, body_hash: &body_hash };
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    if scope.access_key_id.bytes().all(plain) {
        let signed = sign(&key, scope.access_key_id, &request, now);
        let ours = client_scope(&signed.authorization).expect("a header of ours");
        assert_eq!((ours.access_key_id, ours.region), (scope.access_key_id, scope.region));
    }
}
