//! Owns the laws of what outlives the process: what was read is written so that it is read again.

use kinescope::domain::time::Wall;
use kinescope::wire::notify::{board, stored};
use kinescope::wire::silences;

const NOW: Wall = Wall::from_ms(1_764_000_000_000);

/// A notice, what a receiver was told, or the alerts of a process.
pub fn stored(data: &[u8]) {
    if let Some(notice) = stored::read_notice(data) {
        assert_eq!(stored::read_notice(&stored::notice(&notice)), Some(notice));
    }
    if let Some(told) = stored::read_told(data) {
        assert_eq!(stored::read_told(&stored::told(&told)), Some(told));
    }
    if let Some(saved) = board::read(data) {
        assert_eq!(board::read(&board::write(&saved)), Some(saved));
    }
}

/// A silence that is posted, or the file of them.
pub fn silences(data: &[u8]) {
    let posted = silences::read(data, NOW);
    if let Ok(silence) = &posted {
        assert!(silence.ends_at > NOW && silence.ends_at > silence.starts_at);
        assert!(!silence.matchers.is_empty());
    }
    let kept = silences::read_all(data, NOW).into_iter().flat_map(|(kept, _)| kept).chain(posted);
    let kept: Vec<_> = kept.collect();
    // A silence that silences everything is none.
    for silence in &kept {
        let labels = [("alertname".to_owned(), "\u{1}".to_owned())].into();
        let all = silence
            .matchers
            .iter()
            .all(|it| it.is_equal && !it.value.is_regex() && matches!(it.value.as_str(), "" | "*"));
        assert!(!all);
        let _ = silence.holds(&labels, NOW);
    }
    let written = silences::text(kept.iter(), NOW);
    assert_eq!(silences::read_all(&written, NOW), Ok((kept, Vec::new())));
}
