//! Owns what a demo says at its end, and which of the things that had to happen did not. Refuses to
//! call anything well that was not seen.

use super::act::Outcome;
use super::hub::HubStory;
use super::scenario::Scenario;
use super::services::book::Deliveries;
use super::services::book::READERS;
use super::services::book::Sagas;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// CloudWatch has its first whole minute after at most a minute, and a poll must come.
const CLOUDWATCH_AFTER: Duration = Duration::from_secs(75);

/// What came to one reader.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Records that were put into its stream.
    pub put: u64,
    /// What it got.
    pub came: Deliveries,
    /// Records whose trace is joined.
    pub joined: u64,
}

/// A demo's end.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// True when it ran to its own end: only then everything had to happen.
    pub complete: bool,
    /// How long it ran.
    pub ran: Duration,
    /// Puts that were given up, and reads that failed and were made again.
    pub failures: (u64, u64),
    /// What came to each reader, in the order of `READERS`.
    pub deliveries: Vec<Delivery>,
    /// Traces that clients began: how many, and how many the sidecar's spans continue.
    pub client_traces: (u64, u64),
    /// What came of every incident.
    pub incidents: Vec<Outcome>,
    /// Why incidents could not be caused.
    pub failed: Vec<String>,
    /// Scenes for which there was no time.
    pub left_out_scenes: Vec<Scenario>,
    /// Alerts that fired about what no incident was about.
    pub stray_alerts: u64,
    /// Largest delivery lag of the e-mail service, in seconds.
    pub lag_peak_s: Option<f64>,
    /// Points of CloudWatch that the hub knew.
    pub cloudwatch_points: usize,
    /// Sagas.
    pub sagas: Sagas,
    /// Spans that arrived.
    pub spans: u64,
    /// Contexts beyond what the demo can compare.
    pub left_out: u64,
    /// `kinescope_dropped_total` of all sidecars and the hub, by queue and reason; `None` when a
    /// `/metrics` could not be read.
    pub dropped: Option<BTreeMap<String, u64>>,
    /// What the hub knows at the end.
    pub hub: HubStory,
}

impl Summary {
    /// Whether all that had to happen did.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.faults().is_empty()
    }

    /// Every expected event that did not happen, as a sentence each.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (reader, delivery) in READERS.iter().zip(&self.deliveries) {
            let name = format!("{} on {}", reader.service, reader.stream);
            let Deliveries { altered, unknown, repeated, .. } = delivery.came;
            if altered + unknown + repeated > 0 {
                faults.push(format!(
                    "{name}: {altered} records altered, {unknown} unknown, {repeated} repeated"
                ));
            }
            if self.complete && delivery.came.records != delivery.put {
                let came = delivery.came.records;
                faults.push(format!("{name}: {came} of {} records delivered", delivery.put));
            }
            if self.complete && delivery.joined != delivery.came.records {
                let (joined, came) = (delivery.joined, delivery.came.records);
                faults.push(format!("{name}: {joined} of {came} records joined"));
            }
        }
        if self.complete {
            self.unhappened(&mut faults);
        }
        faults
    }

    /// What had to happen in a demo that ran to its end.
    fn unhappened(&self, faults: &mut Vec<String>) {
        if self.deliveries.iter().map(|delivery| delivery.put).sum::<u64>() == 0 {
            faults.push("no record was put".to_owned());
        }
        if self.failures.0 > 0 {
            faults.push(format!("{} puts were given up", self.failures.0));
        }
        faults.extend(self.failed.iter().cloned());
        faults.extend(self.incidents.iter().flat_map(Outcome::faults));
        let (began, continued) = self.client_traces;
        if continued != began {
            faults.push(format!("{continued} of {began} client traces continued"));
        }
        let Sagas { started, completed, compensated } = self.sagas;
        if started != completed + compensated {
            faults.push(format!("{completed} + {compensated} of {started} sagas ended"));
        }
        faults.extend(self.hub.lacks.iter().cloned());
        if self.cloudwatch_points == 0 && self.ran >= CLOUDWATCH_AFTER {
            faults.push("the hub saw no point of CloudWatch".to_owned());
        }
    }

    fn write_incidents(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let never = if self.complete { "NEVER" } else { "not (broken off)" };
        let after = |time: Option<Duration>| {
            time.map_or_else(
                || never.to_owned(),
                |time| format!("after {:.1} s", time.as_secs_f64()),
            )
        };
        for incident in &self.incidents {
            let (noticed, how) = incident.noticed.clone().unzip();
            let by = how.map(|how| format!(" by {how}")).unwrap_or_default();
            let (name, over) = (incident.scenario.as_str(), after(incident.over_after));
            writeln!(f, "  {name:<18} noticed {}{by}; over {over}", after(noticed))?;
        }
        for scene in &self.left_out_scenes {
            writeln!(f, "  {:<18} left out for want of time", scene.as_str())?;
        }
        if self.stray_alerts > 0 {
            writeln!(f, "                     {} alerts about others", self.stray_alerts)?;
        }
        Ok(())
    }

    fn sum(&self, part: impl Fn(&Delivery) -> u64) -> u64 {
        self.deliveries.iter().map(part).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Summary after {:.0} s", self.ran.as_secs_f64())?;
        for (reader, delivery) in READERS.iter().zip(&self.deliveries) {
            let Deliveries { records, altered, unknown, repeated, .. } = delivery.came;
            write!(
                f,
                "  {:<18} {:<9} {records} of {}",
                reader.service, reader.stream, delivery.put
            )?;
            write!(
                f,
                " records delivered, {} equal to what was sent",
                records - altered - unknown
            )?;
            writeln!(f, " but for the context{}", if repeated > 0 { ", SOME TWICE" } else { "" })?;
        }
        let came = self.sum(|delivery| delivery.came.records);
        let carried = came - self.sum(|delivery| delivery.came.without_context);
        let joined = self.sum(|delivery| delivery.joined);
        writeln!(f, "  context            carried by {carried} of {came} delivered records")?;
        let percent = if came == 0 { 0.0 } else { joined as f64 * 100.0 / came as f64 };
        // Cut, not rounded: 100 % is for all of them.
        let percent = (percent * 10.0).floor() / 10.0;
        writeln!(
            f,
            "  traces             {joined} of {came} joined ({percent} %), from {} spans",
            self.spans
        )?;
        if self.left_out > 0 {
            writeln!(
                f,
                "                     {} contexts were too many to compare",
                self.left_out
            )?;
        }
        let (began, continued) = self.client_traces;
        writeln!(f, "  client traces      {continued} of {began} continued")?;
        self.write_incidents(f)?;
        if let Some(peak) = self.lag_peak_s {
            writeln!(f, "  delivery lag       {peak:.1} s at its worst, of the e-mail service")?;
        }
        let Sagas { started, completed, compensated } = self.sagas;
        writeln!(
            f,
            "  sagas              {started} begun, {completed} shipped, {compensated} taken back"
        )?;
        if let Some((id, steps)) = &self.hub.compensated {
            writeln!(f, "  the hub's story    {id} taken back: {}", steps.join(" > "))?;
        }
        writeln!(f, "  CloudWatch         {} points seen by the hub", self.cloudwatch_points)?;
        let (puts, reads) = self.failures;
        writeln!(f, "  clients            {puts} puts given up, {reads} reads made again")?;
        match &self.dropped {
            None => writeln!(f, "  dropped            unknown: a /metrics page could not be read")?,
            Some(dropped) if dropped.is_empty() => writeln!(f, "  dropped            nothing")?,
            Some(dropped) => {
                for (what, count) in dropped {
                    writeln!(f, "  dropped            {count} {what}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Summary {
        let came = Deliveries { records: 10, ..Deliveries::default() };
        let incident = Outcome {
            scenario: Scenario::SlowConsumer,
            noticed: Some((Duration::from_secs(9), "Late".to_owned())),
            over_after: Some(Duration::from_secs(5)),
            false_alarms: Vec::new(),
        };
        Summary {
            complete: true,
            ran: Duration::from_secs(90),
            deliveries: vec![Delivery { put: 10, came, joined: 10 }; READERS.len()],
            client_traces: (3, 3),
            incidents: vec![incident],
            cloudwatch_points: 5,
            sagas: Sagas { started: 2, completed: 1, compensated: 1 },
            dropped: Some(BTreeMap::new()),
            ..Summary::default()
        }
    }

    #[test]
    fn whatever_did_not_happen_is_a_fault() {
        let check = |change: fn(&mut Summary), expected: &str| {
            let mut summary = well();
            change(&mut summary);
            assert_eq!(summary.faults(), [expected]);
        };
        assert_eq!(well().faults(), Vec::<String>::new());
        check(
            |s| s.deliveries[0].came.altered = 1,
            "inventory-service on orders: 1 records altered, 0 unknown, 0 repeated",
        );
        check(|s| s.deliveries[1].put = 11, "email-service on orders: 10 of 11 records delivered");
        check(|s| s.deliveries[3].joined = 9, "saga on commands: 9 of 10 records joined");
        check(|s| s.incidents[0].noticed = None, "Kinescope did not notice slow-consumer");
        check(
            |s| s.incidents[0].over_after = None,
            "Kinescope did not tell that slow-consumer was over",
        );
        check(|s| s.failed = vec!["no shard is open".into()], "no shard is open");
        check(|s| s.client_traces.1 = 2, "2 of 3 client traces continued");
        check(|s| s.sagas.completed = 0, "0 + 1 of 2 sagas ended");
        check(|s| s.hub.lacks = vec!["no story".into()], "no story");
        check(|s| s.cloudwatch_points = 0, "the hub saw no point of CloudWatch");
        check(|s| s.failures.0 = 4, "4 puts were given up");
    }

    #[test]
    fn a_short_or_broken_off_demo_owes_less() {
        let mut summary = well();
        (summary.cloudwatch_points, summary.ran) = (0, Duration::from_secs(50));
        assert_eq!(summary.faults(), Vec::<String>::new());
        summary.complete = false;
        summary.incidents[0].noticed = None;
        summary.deliveries[0].put = 12;
        assert_eq!(summary.faults(), Vec::<String>::new());
        summary.deliveries[0].came.altered = 1;
        assert_eq!(summary.faults().len(), 1);
    }

    #[test]
    fn a_hundred_percent_is_for_all() {
        let mut summary = well();
        assert!(summary.to_string().contains("40 of 40 joined (100 %)"), "{summary}");
        summary.deliveries[0].joined = 9_999;
        summary.deliveries[0].came.records = 10_000;
        assert!(summary.to_string().contains("10029 of 10030 joined (99.9 %)"), "{summary}");
    }
}
