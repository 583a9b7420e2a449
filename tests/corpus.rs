//! Owns the replay of the fuzz corpus on stable: every file of every target, and that each target
//! has one. Refuses to look for new inputs: `make soak` does.

#[cfg(test)]
#[path = "../fuzz/targets/mod.rs"]
#[expect(unreachable_pub, reason = "the root of the fuzz crate, which gives the targets out")]
#[expect(dead_code, reason = "the targets are tests")]
mod targets;

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let files = entries(&Path::new(FUZZ).join("corpus").join(target));
    assert!(!files.is_empty(), "{target} has no corpus");
    files
}

fn stems(folder: &str) -> BTreeSet<String> {
    let paths = entries(&Path::new(FUZZ).join(folder));
    paths.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

#[test]
fn every_file_of_the_corpus_keeps_the_laws() {
    let mut broken = Vec::new();
    for (name, target) in targets::ALL {
        for file in corpus(name) {
            let data = fs::read(&file).unwrap();
            if catch_unwind(|| target(&data)).is_err() {
                broken.push(file.display().to_string());
            }
        }
    }
    assert!(broken.is_empty(), "broken by:\n{}", broken.join("\n"));
}

#[test]
fn every_target_has_a_corpus_a_wrapper_and_a_binary() {
    let named: BTreeSet<String> = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(stems("corpus"), named);
    assert_eq!(stems("fuzz_targets"), named);
    let manifest = fs::read_to_string(Path::new(FUZZ).join("Cargo.toml")).unwrap();
    for name in named {
        let path = format!("fuzz_targets/{name}.rs");
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"{path}\"")), "{name}");
        let wrapper = fs::read_to_string(Path::new(FUZZ).join(path)).unwrap();
        assert!(wrapper.contains(&format!("kinescope_fuzz::{name}(data)")), "{name}");
    }
}

/// How a file is damaged: the bytes from one place to another become these.
fn damage() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let digits = prop_oneof![Just(b"{".to_vec()), Just(b"\"".to_vec()), Just(b"\\".to_vec())];
    let bytes = prop_oneof![prop::collection::vec(any::<u8>(), 0..4), digits];
    (any::<prop::sample::Index>(), 0..6_usize, bytes)
}

proptest! {
    // What breaks a law goes into the corpus under a name that tells.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Near misses: a file of the corpus with a few bytes lost, added or changed, or with another
    /// one behind it. Coverage leads nobody here, but every machine has it.
    #[test]
    fn damaged_files_keep_the_laws(
        target in prop::sample::select(targets::ALL),
        files in prop::collection::vec(any::<prop::sample::Index>(), 1..3),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let (name, target) = target;
        let known = corpus(name);
        let mut data = Vec::new();
        for file in files {
            data.extend(fs::read(file.get(&known)).unwrap());
        }
        for (at, lost, new) in damages {
            let at = at.index(data.len() + 1);
            let end = data.len().min(at + lost);
            data.splice(at..end, new);
        }
        prop_assert!(catch_unwind(|| target(&data)).is_ok(), "{}: {:?}", name, data);
    }
}
