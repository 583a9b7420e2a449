//! Owns what a person sees while the demo runs: one line at a time, with its second. Refuses to move
//! the cursor; colours are left out when headless.

use super::script::Phase;
use super::script::Scenario;
use super::services::EMAIL_SERVICE;
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
        scenario: Scenario,
        total: Option<Duration>,
    ) -> Result<()> {
        let length = total.map_or_else(
            || "until ctrl-c".to_owned(),
            |total| format!("for {:.0} s", total.as_secs_f64()),
        );
        writeln!(self.out, "Kinescope demo, scenario {}, {length}. Look at:", scenario.as_str())?;
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

    /// A new phase.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn phase(&mut self, at: Duration, phase: Phase, scenario: Scenario) -> Result<()> {
        let what = match (phase, scenario) {
            (Phase::Healthy, _) => "every consumer keeps up".to_owned(),
            (Phase::Incident, Scenario::SlowConsumer) => format!("{EMAIL_SERVICE} slows down"),
            (Phase::Incident, Scenario::StoppedConsumer) => {
                format!("{EMAIL_SERVICE} stops reading")
            }
            (Phase::Recovery, _) => format!("{EMAIL_SERVICE} works as before"),
            (Phase::Drain, _) => "no more orders; the last ones are worked off".to_owned(),
        };
        self.line(at, BOLD, &what)
    }

    /// One alert of a notification.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) fn alert(&mut self, at: Duration, alert: &Received) -> Result<()> {
        let (colour, what) = if alert.firing { (RED, "FIRING") } else { (GREEN, "RESOLVED") };
        let Received { alert, consumer, stream, value, .. } = alert;
        self.line(at, colour, &format!("webhook: {what} {alert}, {consumer} on {stream}, {value}"))
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
