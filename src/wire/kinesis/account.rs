//! Owns the account number inside an access key id. Refuses to guess where a key carries none.
//! Source: found by research, AWS documents none of it: A. Steele, "AWS Access Key ID formats"
//! (2020), and T. Be'ery, "A short note on AWS KEY ID" (2023), whose published keys are the tests.

/// Characters behind the four of the prefix: 80 bits, of which the account takes 40.
const ENCODED_CHARS: usize = 16;
/// An account has twelve digits.
const ACCOUNT_MAX: u64 = 999_999_999_999;

/// The account, twelve digits, where the key id carries it. `None` for a key made before 2019 (its
/// first bit is not set, as in all that begin with AKIAI or AKIAJ), for another kind of key and for
/// what is no key of AWS.
#[must_use]
pub fn account_of(access_key_id: &str) -> Option<String> {
    let encoded = ["AKIA", "ASIA"].iter().find_map(|kind| access_key_id.strip_prefix(kind))?;
    // The documentation's keys would decode, to nobody's account.
    if encoded.len() != ENCODED_CHARS || encoded.ends_with("EXAMPLE") {
        return None;
    }
    let bits = encoded.bytes().try_fold(0_u128, |bits, byte| Some(bits << 5 | base32(byte)?))?;
    // From the first bit on: the mark of the newer keys, the account, 39 bits of other use.
    let account = u64::try_from(bits >> 39 & ((1 << 40) - 1)).ok()?;
    let is_newer = bits >> 79 == 1;
    (is_newer && account <= ACCOUNT_MAX).then(|| format!("{account:012}"))
}

/// The five bits of a character of RFC 4648's alphabet.
fn base32(byte: u8) -> Option<u128> {
    match byte {
        b'A'..=b'Z' => Some(u128::from(byte - b'A')),
        b'2'..=b'7' => Some(u128::from(byte - b'2') + 26),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_a_key() {
        let check = |key, expected| assert_eq!(account_of(key).as_deref(), expected, "{key}");
        check("ASIAQNZGKIQY56JQ7WML", Some("029608264753"));
        check("ASIAY34FZKBOKMUTVV7A", Some("609629065308"));
        check("AKIAY34FZKBOKMUTVV7A", Some("609629065308"));
        // The last characters are of other use.
        check("ASIAY34FZKBOK2222222", Some("609629065308"));
        check("AKIAQAAAAAAAAAAAAAAA", Some("000000000000"));
    }

    #[test]
    fn nothing_is_concluded_from_other_keys() {
        let check = |key| assert_eq!(account_of(key), None, "{key}");
        check("");
        check("test");
        check("AKIA");
        check("AKIAIOSFODNN7EXAMPLE");
        check("AKIAI44QH8DHBEXAMPLE");
        check("ASIAQAAAAAAAAEXAMPLE");
        check("AKIAIOSFODNN7PQRSTUV");
        check("AKIAJOSFODNN7PQRSTUV");
        check("AROAQNZGKIQY56JQ7WML");
        check("asiaqnzgkiqy56jq7wml");
        check("ASIAQNZGKIQY56JQ7WM");
        check("ASIAQNZGKIQY56JQ7WMLA");
        check("ASIAQNZGKIQY56JQ7WM0");
        check("ASIAQNZGKIQY56JQ7Wé");
        // Over twelve digits.
        check("ASIA7777777777777777");
    }
}
