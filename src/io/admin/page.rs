//! Owns gathering what the status page shows from where it is kept. Refuses to wait long for what
//! spans tell: the page does without it.

use crate::domain::snapshot::Snapshot;
use crate::io::admin::Question;
use crate::io::admin::own::own;
use crate::io::admin::routes::Desk;
use crate::wire::status::counts::Counts;
use crate::wire::status::page::Sight;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A page that takes longer feels broken.
const FLEET_WITHIN: Duration = Duration::from_millis(500);

/// The configuration in force as names and values, without secrets. Cheap to clone.
#[derive(Clone)]
pub struct ConfigurationSource(Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>);

impl ConfigurationSource {
    /// `tell` is called for each page, on a thread that may block.
    pub fn new(tell: impl Fn() -> Vec<(String, String)> + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for ConfigurationSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigurationSource")
    }
}

/// What spans tell, as a part of the page; `None` when it was not told soon enough.
pub(super) async fn fleet(desk: &Desk) -> Option<String> {
    let asking = desk.admin.fleet.ask(Question::Page);
    let html = tokio::time::timeout(FLEET_WITHIN, asking).await.ok().flatten()?;
    String::from_utf8(html).ok()
}

/// Notes this moment's figures. Blocks for as long as a page is drawn.
pub(super) fn sample(desk: &Desk, snapshot: &Snapshot) {
    let counts = counts(desk, snapshot);
    desk.history.lock().unwrap_or_else(PoisonError::into_inner).take(snapshot, counts);
}

/// Draws with all that the page shows. Blocks for as long as another page is drawn.
pub(super) fn with_sight<T>(
    desk: &Desk,
    snapshot: &Snapshot,
    fleet: Option<&str>,
    draw: impl FnOnce(&Sight<'_>) -> T,
) -> T {
    let counts = counts(desk, snapshot);
    let configuration = (desk.admin.configuration.0)();
    let history = desk.history.lock().unwrap_or_else(PoisonError::into_inner);
    draw(&Sight {
        snapshot,
        identity: &desk.admin.identity,
        history: &history,
        counts: &counts,
        configuration: &configuration,
        fleet,
    })
}

fn counts(desk: &Desk, snapshot: &Snapshot) -> Counts {
    Counts::read(&desk.admin.registry.gather(), own(), snapshot.now.mono)
}
