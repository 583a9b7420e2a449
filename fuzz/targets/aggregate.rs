//! Owns the laws of KPL aggregates. The checksum is made here: no mutation would find it.

use super::envelope::insertion;
use kinescope::domain::envelope::aggregate::{Aggregated, splice, user_records};
use kinescope::domain::envelope::{Kind, Leave, Places, examine, unsplice};
use md5::{Digest, Md5};

/// Magic, the message, its MD5.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [b"\xf3\x89\x9a\xc2", message, &Md5::digest(message)].concat()
}

pub fn aggregate(data: &[u8]) {
    let payload = framed(data);
    let seen = examine(&payload);
    assert_eq!(seen.kind, Kind::Aggregate);
    let records = user_records(&payload);
    for (mode, state) in
        [(Aggregated::Tags, ""), (Aggregated::Json, "a=1"), (Aggregated::Tags, "a=1")]
    {
        let spliced = splice(&payload, &insertion(state), mode);
        if let Err(leave) = seen.places {
            assert_eq!(spliced, Err(leave));
            continue;
        }
        assert_eq!(seen.places, Ok(Places::Aggregate));
        let Ok(spliced) = spliced else {
            assert_eq!(mode, Aggregated::Json, "tags always find room");
            continue;
        };
        assert_eq!(user_records(&spliced), records);
        assert_eq!(unsplice(&spliced), payload);
        for mode in [Aggregated::Tags, Aggregated::Json] {
            assert_eq!(splice(&spliced, &insertion(""), mode), Err(Leave::ContextPresent));
        }
        let contexts = examine(&spliced).contexts;
        assert!(contexts.iter().any(|(context, _)| context == insertion(state).context()));
    }
    assert!(splice(&payload, &insertion(""), Aggregated::Off).is_err());
    let original = unsplice(&payload);
    if *original != *payload {
        assert!(original.len() < payload.len());
        assert_eq!(user_records(&original), records);
        assert_eq!(unsplice(&original), original);
    }
    // As it came it is another thing: the checksum is wrong, or the magic is missing.
    super::envelope::envelope(data);
}
