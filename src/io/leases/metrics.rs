//! Owns what is told about reading lease tables: outcomes, cost, freshness. Refuses the leases,
//! which go to the engine.

use crate::io::credentials::refusals::Refusals;
use crate::io::leases::fault::TableFault;
use prometheus::{CounterVec, GaugeVec, IntCounterVec, Opts, Registry};

/// The families; series appear when there is something to tell. `application` is a configured name.
#[derive(Debug, Clone)]
pub struct LeaseMetrics {
    readings: IntCounterVec,
    units: CounterVec,
    last_success_seconds: GaugeVec,
    refusals: Refusals,
}

impl LeaseMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// When one of the names is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let readings = IntCounterVec::new(
            Opts::new(
                "kinescope_lease_readings_total",
                "Readings of a KCL application's lease table, by what became of them.",
            ),
            &["application", "outcome"],
        )?;
        let units = CounterVec::new(
            Opts::new(
                "kinescope_lease_read_units_total",
                "DynamoDB read units that reading the lease table has used up, as DynamoDB told, or estimated where it does not.",
            ),
            &["application"],
        )?;
        let last_success_seconds = GaugeVec::new(
            Opts::new(
                "kinescope_lease_last_success_timestamp_seconds",
                "When a KCL application's lease table was last read to its end, in seconds since 1970.",
            ),
            &["application"],
        )?;
        registry.register(Box::new(readings.clone()))?;
        registry.register(Box::new(units.clone()))?;
        registry.register(Box::new(last_success_seconds.clone()))?;
        Ok(Self { readings, units, last_success_seconds, refusals: Refusals::default() })
    }

    /// Tells `refusals` what AWS refuses.
    #[must_use]
    pub fn telling(self, refusals: Refusals) -> Self {
        Self { refusals, ..self }
    }

    pub(super) fn read(&self, application: &str, fault: Option<&TableFault>) {
        let outcome = fault.map_or("ok", TableFault::as_str);
        self.readings.with_label_values(&[application, outcome]).inc();
        self.refusals.told("dynamodb:Scan", application, fault.and_then(TableFault::call));
    }

    pub(super) fn spent(&self, application: &str, units: f64) {
        self.units.with_label_values(&[application]).inc_by(units);
    }

    #[expect(clippy::cast_precision_loss, reason = "a clock's seconds fit a double until 2^53")]
    pub(super) fn succeeded(&self, application: &str, at_seconds: u64) {
        self.last_success_seconds.with_label_values(&[application]).set(at_seconds as f64);
    }
}
