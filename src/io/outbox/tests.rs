//! Owns the tests of the file: what is committed is there again, and no file can stop a start.

use super::*;
use crate::domain::alert::{AlertState, AlertView, Notice, NoticeReason};
use crate::domain::outbox::Told;
use crate::domain::time::{Moment, Wall};
use std::path::Path;

fn folder(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("kinescope-outbox-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    folder
}

fn notice(id: u64) -> Notice {
    let alert = AlertView {
        labels: [("alertname".to_owned(), format!("A{id}"))].into(),
        annotations: [("summary".to_owned(), "behind".to_owned())].into(),
        state: AlertState::Firing,
        starts_at: Wall::from_ms(1_700_000_000_000),
        ends_at: None,
    };
    Notice {
        id,
        group_key: format!("{{}}:{id}"),
        group_labels: alert.labels.clone(),
        reason: NoticeReason::First,
        alerts: vec![alert],
        at: Moment { wall: Wall::from_ms(1_700_000_000_000), mono: Duration::ZERO },
    }
}

fn put(seq: u64) -> Change {
    Change::Put("hook".into(), seq, Arc::new(notice(seq)))
}

#[tokio::test]
async fn what_is_committed_is_there_again() {
    let folder = folder("kept");
    let (mut store, restored) = Store::open(Some(folder.clone())).await;
    assert!(store.is_durable() && restored.machine.is_none());
    let told = Told { starts_at: Wall::from_ms(5) };
    let changes = vec![put(1), put(2), put(10), Change::Told("hook".into(), 7, told.clone())];
    store.commit(changes, Some(b"board".as_slice().into())).await;
    let changes =
        vec![Change::Remove("hook".into(), 1), Change::Told("am".into(), 8, told.clone())];
    store.commit(changes, None).await;
    store.commit(vec![Change::Forget("am".into(), 8)], None).await;
    drop(store);
    let (_store, restored) = Store::open(Some(folder.clone())).await;
    let kept = [2, 10].map(|seq| ("hook".to_owned(), seq, notice(seq)));
    assert_eq!(restored.kept.waiting, kept);
    assert_eq!(restored.kept.told, [("hook".to_owned(), 7, told)]);
    assert_eq!(restored.machine.as_deref(), Some(b"board".as_slice()));
    std::fs::remove_dir_all(folder).unwrap();
}

/// What a start finds where a file was damaged by `damage`: nothing, and a store that works.
async fn check_damaged(name: &str, damage: impl Fn(&Path)) {
    let folder = folder(name);
    let (mut store, _) = Store::open(Some(folder.clone())).await;
    store.commit((1..200).map(put).collect(), None).await;
    drop(store);
    damage(&folder.join(FILE));
    let (mut store, restored) = Store::open(Some(folder.clone())).await;
    assert!(store.is_durable(), "{name}: a new file takes the place of the damaged one");
    assert!(restored.kept.waiting.is_empty(), "{name}");
    assert!(folder.join("alerts.unreadable").exists(), "{name}");
    store.commit(vec![put(3)], None).await;
    drop(store);
    let (_store, restored) = Store::open(Some(folder.clone())).await;
    assert_eq!(restored.kept.waiting.len(), 1, "{name}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn damaged_files_are_set_aside() {
    check_damaged("text", |path| std::fs::write(path, "no database of ours").unwrap()).await;
    check_damaged("cut", |path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 3]).unwrap();
    })
    .await;
    check_damaged("flipped", |path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes.iter_mut().skip(4_096).step_by(17).for_each(|byte| *byte ^= 0x55);
        std::fs::write(path, bytes).unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_written_is_memory() {
    let folder = folder("blocked");
    std::fs::write(&folder, "a file, no folder").unwrap();
    let (mut store, _) = Store::open(Some(folder.clone())).await;
    assert!(!store.is_durable());
    store.commit(vec![put(1)], None).await;
    std::fs::remove_file(&folder).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.join(FILE)).unwrap();
    let (store, _) = Store::open(Some(folder.clone())).await;
    assert!(!store.is_durable(), "a full disk");
    std::fs::remove_dir_all(folder).unwrap();
    let (store, restored) = Store::open(None).await;
    assert!(!store.is_durable() && restored.kept.waiting.is_empty());
}

#[tokio::test]
async fn after_a_fault_all_there_is_goes_to_a_new_file() {
    let folder = folder("regained");
    let (mut store, _) = Store::open(Some(folder.clone())).await;
    store.commit(vec![put(1)], Some(b"old".as_slice().into())).await;
    store.disk.is_full = true;
    store.commit(vec![put(2)], None).await;
    assert!(store.is_degraded() && !folder.join(FILE).exists(), "it would tell an old story");
    let regained = store.regain(vec![put(2)], None).await;
    assert!(matches!(regained, Regained::NotYet(_)), "{regained:?}");
    assert!(store.is_degraded());
    store.disk.is_full = false;
    let machine = Some(b"new".as_slice().into());
    assert!(matches!(store.regain(vec![put(2), put(3)], machine).await, Regained::Durable));
    assert!(store.is_durable() && !store.is_degraded());
    store.commit(vec![Change::Remove("hook".into(), 2)], None).await;
    drop(store);
    let (_store, restored) = Store::open(Some(folder.clone())).await;
    assert_eq!(restored.kept.waiting, [("hook".to_owned(), 3, notice(3))]);
    assert_eq!(restored.machine.as_deref(), Some(b"new".as_slice()));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn what_was_never_read_is_not_written_over() {
    let folder = folder("unread");
    let (mut first, _) = Store::open(Some(folder.clone())).await;
    let (mut second, _) = Store::open(Some(folder.clone())).await;
    assert!(second.is_degraded(), "another process has it");
    assert!(matches!(second.regain(vec![put(9)], None).await, Regained::NotYet(_)));
    first.commit(vec![put(1)], None).await;
    drop(first);
    assert!(matches!(second.regain(vec![put(9)], None).await, Regained::Foreign));
    assert!(!second.is_durable() && !second.is_degraded(), "it is not tried again");
    let (_store, restored) = Store::open(Some(folder.clone())).await;
    assert_eq!(restored.kept.waiting, [("hook".to_owned(), 1, notice(1))]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_file_that_another_process_has_is_left_alone() {
    let folder = folder("shared");
    let (mut first, _) = Store::open(Some(folder.clone())).await;
    first.commit(vec![put(1)], None).await;
    let (second, _) = Store::open(Some(folder.clone())).await;
    assert!(!second.is_durable());
    drop((first, second));
    let (_store, restored) = Store::open(Some(folder.clone())).await;
    assert_eq!(restored.kept.waiting.len(), 1);
    std::fs::remove_dir_all(folder).unwrap();
}
