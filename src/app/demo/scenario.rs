//! Owns the list of what can go wrong in the demo: its name, what is said of it, and what Kinescope
//! has to say by which one knows that it noticed. Refuses to cause anything: `incidents` does.

use super::services::ARCHIVE;
use super::services::COMMANDS;
use super::services::EMAIL_SERVICE;
use super::services::INVENTORY_SERVICE;
use super::services::INVOICES;
use super::services::ORDERS;
use super::services::SAGA;
use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// The e-mail service takes one record of each shard a second: its lag grows
    SlowConsumer,
    /// The e-mail service dies: its connections close, and nobody reads for it
    StoppedConsumer,
    /// One customer's invoices take nearly all that their shard can
    HotKey,
    /// They are more than it can take: Kinesis refuses records inside answers that say 200
    ThrottledWrites,
    /// A command that its consumer can't carry out holds up a shard, and its saga fails
    PoisonEvent,
    /// A shard is split under its readers: nothing is wrong, and nothing may be said to be
    Resharding,
    /// A reader of records that are nearly a day old is too slow for a stream that keeps a day
    Retention,
}

/// Whom an incident is about, as the labels of its alerts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct About {
    /// Label `stream`.
    pub stream: &'static str,
    /// Label `consumer`; empty where its alerts are not about one.
    pub consumer: &'static str,
}

impl About {
    /// Whether an alert with these labels is about it.
    pub(super) fn is(self, stream: &str, consumer: &str) -> bool {
        self.stream == stream && (self.consumer.is_empty() || self.consumer == consumer)
    }
}

impl Scenario {
    /// Every scenario, in the order of the story.
    pub(super) const ALL: [Self; 7] = [
        Self::SlowConsumer,
        Self::StoppedConsumer,
        Self::HotKey,
        Self::ThrottledWrites,
        Self::PoisonEvent,
        Self::Resharding,
        Self::Retention,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SlowConsumer => "slow-consumer",
            Self::StoppedConsumer => "stopped-consumer",
            Self::HotKey => "hot-key",
            Self::ThrottledWrites => "throttled-writes",
            Self::PoisonEvent => "poison-event",
            Self::Resharding => "resharding",
            Self::Retention => "retention",
        }
    }

    /// Whom it is about.
    pub(super) const fn about(self) -> About {
        let (stream, consumer) = match self {
            Self::SlowConsumer | Self::StoppedConsumer => (ORDERS, EMAIL_SERVICE),
            Self::HotKey | Self::ThrottledWrites => (INVOICES, ""),
            Self::PoisonEvent => (COMMANDS, SAGA),
            Self::Resharding => (ORDERS, ""),
            Self::Retention => (ARCHIVE, INVENTORY_SERVICE),
        };
        About { stream, consumer }
    }

    /// The alert that has to fire; none where all is well and only has to be told.
    pub(super) const fn alert(self) -> Option<&'static str> {
        match self {
            Self::SlowConsumer => Some("KinesisConsumerLagHigh"),
            Self::StoppedConsumer => Some("KinesisConsumerStopped"),
            Self::HotKey => Some("KinesisHotShard"),
            Self::ThrottledWrites => Some("KinesisPutFailures"),
            Self::PoisonEvent => Some("KinesisConsumerStalled"),
            Self::Resharding => None,
            Self::Retention => Some("KinesisDataLossImminent"),
        }
    }

    /// Whether the alert is resolved soon after its cause has ended; of put failures it looks at the
    /// last five minutes.
    pub(super) const fn is_resolved_soon(self) -> bool {
        match self {
            Self::ThrottledWrites => false,
            Self::SlowConsumer
            | Self::StoppedConsumer
            | Self::HotKey
            | Self::PoisonEvent
            | Self::Resharding
            | Self::Retention => true,
        }
    }

    /// The time that it has to have before the end of a demo, for else it is left out: until it is
    /// noticed and over on a busy machine.
    pub(super) const fn needs(self) -> Duration {
        Duration::from_secs(match self {
            Self::SlowConsumer | Self::StoppedConsumer | Self::Resharding => 32,
            Self::ThrottledWrites | Self::Retention => 30,
            Self::HotKey | Self::PoisonEvent => 42,
        })
    }

    /// It lasts so long at least: a person is to see the lag grow.
    pub(super) const fn lasts(self) -> Duration {
        Duration::from_secs(match self {
            Self::SlowConsumer => 15,
            Self::StoppedConsumer
            | Self::HotKey
            | Self::ThrottledWrites
            | Self::PoisonEvent
            | Self::Resharding
            | Self::Retention => 0,
        })
    }

    /// What is said when it begins.
    pub(super) fn begins(self) -> String {
        match self {
            Self::SlowConsumer => {
                format!("{EMAIL_SERVICE} slows down: one record of each shard a second")
            }
            Self::StoppedConsumer => format!("{EMAIL_SERVICE} dies and reads {ORDERS} no more"),
            Self::HotKey => format!("one customer's invoices fill a shard of {INVOICES}"),
            Self::ThrottledWrites => {
                format!("one customer's invoices are more than a shard of {INVOICES} can take")
            }
            Self::PoisonEvent => {
                format!("{SAGA} gets a payment that it can't read, and tries it again and again")
            }
            Self::Resharding => format!("{ORDERS} is resharded under its readers"),
            Self::Retention => format!(
                "{INVENTORY_SERVICE} reads {ARCHIVE} from its oldest record, 23.5 h old of 24 h \
                 that are kept, and too slowly"
            ),
        }
    }

    /// What is said when its cause ends.
    pub(super) fn ends(self) -> String {
        match self {
            Self::SlowConsumer => format!("{EMAIL_SERVICE} works as before"),
            Self::StoppedConsumer => format!("{EMAIL_SERVICE} is started again"),
            Self::HotKey => "the customer has all its invoices".to_owned(),
            Self::ThrottledWrites => "the customer's invoices come at a pace again".to_owned(),
            Self::PoisonEvent => {
                format!("{SAGA} sets the payment aside and takes its saga back")
            }
            Self::Resharding => format!("{ORDERS} has its new shards"),
            Self::Retention => format!("{INVENTORY_SERVICE} reads {ARCHIVE} at full speed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn the_command_line_has_the_same_names() {
        let named: Vec<_> = Scenario::value_variants()
            .iter()
            .filter_map(|it| Some(it.to_possible_value()?.get_name().to_owned()))
            .collect();
        assert_eq!(named, Scenario::ALL.map(Scenario::as_str));
    }
}
