//! Owns what a person sees while the demo runs: one line at a time, with its second. Refuses to move
//! the cursor; colours are left out when headless.

use super::act::Act;
use super::scenario::Scenario;
use super::services::ORDERS;
use super::services::book::READERS;
use super::webhook::Received;
use super::world::World;
use crate::domain::lag::Assessment;
use crate::domain::lag::Status;
use crate::domain::snapshot::Snapshot;
use std::io::Result;
use std::io::Write;
use std::time::Duration;

const PLAIN: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";

/// Where the lines go.
pub(super) struct Progress<'o> {
    out: &'o mut (dyn Write + Send),
    colours: bool,
}

impl<'o> Progress<'o> {
    /// Lines to `out`, plain when `headless`.
    pub(super) fn new(out: &'o mut (dyn Write + Send), headless: bool) -> Self {
        Self { out, colours: !headless }
    }

    /// What is running and where to look.
    ///
    /// # Errors
    /// When the output is gone; so with every line.
    pub(super) fn begin(
        &mut self,
        world: &World,
        scenes: &[Scenario],
        total: Option<Duration>,
    ) -> Result<()> {
        let length = total.map_or_else(
            || "until ctrl-c".to_owned(),
            |total| format!("for {:.0} s", total.as_secs_f64()),
        );
        let story = names(scenes);
        writeln!(self.out, "Kinescope demo, {length}, with {story}. Look at:")?;
        let sidecars = world.sidecars.iter().map(|(service, running)| (*service, running));
        for (service, running) in sidecars.chain([("hub", &world.hub)]) {
            for admin in &running.admin {
                writeln!(self.out, "  {service:<18} http://{admin}/  http://{admin}/metrics")?;
            }
        }
        for admin in &world.hub.admin {
            let (traces, sagas) = ("api/v1/traces", "api/v1/sagas");
            writeln!(
                self.out,
                "  {:<18} http://{admin}/{traces}  http://{admin}/{sagas}",
                "the whole"
            )?;
        }
        self.out.flush()
    }

    /// Nothing is wrong yet.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn calm(&mut self, at: Duration) -> Result<()> {
        self.line(at, BOLD, "every consumer keeps up")
    }

    /// An incident begins.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn begins(&mut self, at: Duration, scenario: Scenario) -> Result<()> {
        self.line(at, BOLD, &format!("INCIDENT {}: {}", scenario.as_str(), scenario.begins()))
    }

    /// What an operator did, where that says more than the incident's name.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn did(&mut self, at: Duration, what: &str) -> Result<()> {
        if what.is_empty() { Ok(()) } else { self.line(at, PLAIN, what) }
    }

    /// It can't begin.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn skipped(&mut self, at: Duration, scenario: Scenario) -> Result<()> {
        let (name, alert) = (scenario.as_str(), scenario.alert().unwrap_or("its alert"));
        self.line(at, BOLD, &format!("no {name} this time: {alert} still fires"))
    }

    /// Kinescope told of it, `after` it began.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn noticed(
        &mut self,
        at: Duration,
        scenario: Scenario,
        after: Duration,
        how: &str,
    ) -> Result<()> {
        let (name, after) = (scenario.as_str(), after.as_secs_f64());
        self.line(at, RED, &format!("NOTICED {name} after {after:.1} s: {how}"))
    }

    /// Its cause ends.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn ends(&mut self, at: Duration, scenario: Scenario) -> Result<()> {
        self.line(at, BOLD, &scenario.ends())
    }

    /// It is over, `after` its cause ended.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn over(&mut self, at: Duration, act: &Act, after: Duration) -> Result<()> {
        let (scenario, after) = (act.scenario, after.as_secs_f64());
        let name = scenario.as_str();
        let how = match (scenario.alert(), scenario.is_resolved_soon()) {
            (Some(alert), _) if act.flaps => {
                format!("all is well; {alert} came for the third time and stays on for 15 min")
            }
            (Some(alert), true) => format!("{alert} is resolved"),
            (Some(alert), false) => {
                format!("all is stored; {alert} looks at five minutes and is resolved after them")
            }
            (None, _) => {
                "the hub sees every reader on the new shards, and no alert fired".to_owned()
            }
        };
        self.line(at, GREEN, &format!("OVER {name} after {after:.1} s: {how}"))
    }

    /// The end comes, and there was no time for these.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn drain(&mut self, at: Duration, left_out: &[Scenario]) -> Result<()> {
        self.line(at, BOLD, "no more orders; the last ones are worked off")?;
        if left_out.is_empty() {
            return Ok(());
        }
        self.line(at, BOLD, &format!("left out for want of time: {}", names(left_out)))
    }

    /// One alert of a notification.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn alert(&mut self, at: Duration, alert: &Received) -> Result<()> {
        let (colour, what) = if alert.firing { (RED, "FIRING") } else { (GREEN, "RESOLVED") };
        self.line(at, colour, &format!("webhook: {what} {}, {}", alert.alert, alert.said()))
    }

    /// Every consumer's lag, as its own sidecar has it.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn lag(
        &mut self,
        at: Duration,
        put: u64,
        snapshots: &[(&str, Snapshot)],
    ) -> Result<()> {
        let mut parts = Vec::new();
        let mut worst = Status::Ok;
        for reader in READERS {
            let snapshot = snapshots.iter().find(|(service, _)| *service == reader.service);
            let view = snapshot.and_then(|(_, snapshot)| {
                snapshot.consumers.iter().find(|view| view.stream.as_str() == reader.stream)
            });
            let text = view.map_or_else(|| "not seen yet".to_owned(), |view| lag(&view.worst));
            worst = view.map_or(worst, |view| worst.max(view.worst.status));
            let name = reader.service.trim_end_matches("-service");
            let stream = if reader.stream == ORDERS {
                String::new()
            } else {
                format!("({})", reader.stream)
            };
            parts.push(format!("{name}{stream} {text}"));
        }
        let colour = if worst > Status::Unknown { YELLOW } else { PLAIN };
        self.line(at, colour, &format!("{put} records put; lag {}", parts.join(", ")))
    }

    /// Plain text, as it is.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    fn line(&mut self, at: Duration, colour: &str, text: &str) -> Result<()> {
        let (colour, plain) = if self.colours { (colour, PLAIN) } else { ("", "") };
        writeln!(self.out, "{colour}{:>5.0} s  {text}{plain}", at.as_secs_f64())?;
        self.out.flush()
    }
}

fn names(scenes: &[Scenario]) -> String {
    scenes.iter().map(|scene| scene.as_str()).collect::<Vec<_>>().join(", ")
}

/// `12.3 s falling_behind`; `~12.3 s` when the lag is reckoned.
fn lag(assessment: &Assessment) -> String {
    let status = assessment.status.as_str();
    assessment.lag.map_or_else(
        || format!("unknown {status}"),
        |lag| {
            let reckoned = if lag.inferred { "~" } else { "" };
            format!("{reckoned}{:.1} s {status}", lag.value.as_secs_f64())
        },
    )
}
