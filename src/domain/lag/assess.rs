//! Owns the rules that make a verdict out of a window. Refuses to guess: every rule names the
//! figures it went by. Burrow's rules, carried over from offsets to time (reference/metrics.md 2.6).

use super::figures::duration_text;
use super::slope::DEAD_BAND;
use super::window::{LAG_ALLOWED, Window};
use super::{Assessment, Lag, Status};
use std::time::Duration;

/// A reader that is behind and gets no newer record through this many reads …
const STALL_READS: u64 = 3;
/// … and for this long is stalled; several polls of a usual reader, some of a slow one.
const STALL_SPAN: Duration = Duration::from_secs(15);

/// At the tip without a record for this long, a shard counts as idle.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// What the window alone cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// When the consumer last read any shard of the stream, in monotonic time.
    pub consumer_read_at: Duration,
    /// The stream's retention, once described.
    pub retention: Option<Duration>,
}

/// What the rules go by, all as of one moment.
struct Facts<'a> {
    window: &'a Window,
    now: Duration,
    lag: Option<Lag>,
    velocity: Option<f64>,
    retention: Option<Duration>,
    consumer_read_at: Duration,
}

/// The verdict on one shard at `now` (monotonic).
#[must_use]
pub fn assess(window: &Window, circumstances: Circumstances, now: Duration) -> Assessment {
    // What is read by somebody else has no lag that we could know.
    let ours = !is_released(window, circumstances.consumer_read_at);
    let facts = Facts {
        window,
        now,
        lag: window.lag(now).filter(|_| ours),
        velocity: window.velocity(now).filter(|_| ours),
        retention: circumstances.retention.filter(|retention| !retention.is_zero()),
        consumer_read_at: circumstances.consumer_read_at,
    };
    let (status, reason) = verdict(&facts);
    Assessment {
        status,
        reason,
        lag: facts.lag,
        velocity: facts.velocity,
        catch_up: facts.catch_up(),
        data_loss: facts.data_loss(),
        retention_used: facts.retention_used(),
    }
}

/// Whether the consumer read on elsewhere for longer than a stop takes, without this shard: then
/// another reader has it. A shard that fell silent together with all the others is not released.
#[must_use]
pub fn is_released(window: &Window, consumer_read_at: Duration) -> bool {
    consumer_read_at.saturating_sub(window.read_at()) > window.stop_after()
}

/// The rules, in order; the first that holds decides.
fn verdict(facts: &Facts<'_>) -> (Status, String) {
    let window = facts.window;
    let silence = window.silence(facts.now);

    // 1. Another reader has the shard.
    if is_released(window, facts.consumer_read_at) {
        let reason = format!(
            "not read for {}, while the consumer reads other shards of the stream",
            duration_text(silence)
        );
        return (Status::Released, reason);
    }

    // 2. The oldest unread record is older than what the stream keeps.
    if let (Some(lag), Some(retention)) = (facts.lag, facts.retention)
        && lag.value >= retention
    {
        let reason = format!(
            "lag of {lag} has reached the stream's retention of {}; last read {} ago",
            duration_text(retention),
            duration_text(silence)
        );
        return (Status::LosingData, reason);
    }

    // 3. Nobody reads: neither this shard nor another of the stream.
    let consumer_silence = facts.now.saturating_sub(facts.consumer_read_at);
    if consumer_silence > window.stop_after() {
        let reason = format!(
            "no shard of the stream read for {}, more than the {} that this reader may pause",
            duration_text(consumer_silence),
            duration_text(window.stop_after())
        );
        return (Status::Stopped, reason);
    }

    // 4. No answer ever told a lag.
    let Some(lag) = facts.lag else {
        let reason = format!("no MillisBehindLatest in any of {} answers", window.reads());
        return (Status::Unknown, reason);
    };

    // 5. to 7. Behind.
    if lag.value > LAG_ALLOWED {
        return behind(facts, lag, silence);
    }

    // 8. At the tip, and nothing arrives.
    let recordless = window.recordless(facts.now);
    if lag.value.is_zero() && recordless > IDLE_AFTER {
        return (Status::Idle, format!("at the tip, no record for {}", duration_text(recordless)));
    }

    // 9. As close to the tip as it should be.
    (Status::Ok, format!("lag of {lag} is within {}", duration_text(LAG_ALLOWED)))
}

/// The rules for a reader that is further behind than it should be.
fn behind(facts: &Facts<'_>, lag: Lag, silence: Duration) -> (Status, String) {
    let window = facts.window;
    let growing = facts.velocity.filter(|velocity| *velocity > DEAD_BAND);
    let reads_on = silence <= window.silence_allowed();

    // 5. Reads, but gets no newer record. Kinesis answers an empty stretch of a shard with empty
    // answers while the cursor moves through it: then the lag holds or shrinks.
    let (held_for, held_reads) = window.held_for();
    let holds_still = window.newest_held_records() || growing.is_some() || facts.velocity.is_none();
    if reads_on && holds_still && held_reads >= STALL_READS && held_for >= STALL_SPAN {
        let reason = format!(
            "lag of {lag}, and no newer record in {held_reads} reads over {}",
            duration_text(held_for)
        );
        return (Status::Stalled, reason);
    }

    // 6. Went back, and is not there again.
    if let Some(ago) = window.rewound_for(facts.now).filter(|_| reads_on) {
        let reason = format!(
            "went back to older records {} ago and is not back where it was; lag of {lag}",
            duration_text(ago)
        );
        return (Status::Rewound, reason);
    }

    // 7. Behind: getting worse, or not.
    let figures = format!("lag of {lag} is over {}", duration_text(LAG_ALLOWED));
    match (growing, facts.velocity) {
        (Some(velocity), _) if reads_on => {
            (Status::FallingBehind, format!("{figures} and grows by {velocity:.2} s per second"))
        }
        (Some(_), _) => (
            Status::FallingBehind,
            format!("{figures} and grows: not read for {}", duration_text(silence)),
        ),
        (None, Some(velocity)) if velocity < -DEAD_BAND => {
            (Status::Lagging, format!("{figures} and shrinks by {:.2} s per second", -velocity))
        }
        (None, Some(_)) => (Status::Lagging, format!("{figures} and holds")),
        (None, None) => {
            (Status::Lagging, format!("{figures}; too few reads to say whether it grows"))
        }
    }
}

impl Facts<'_> {
    fn catch_up(&self) -> Option<Duration> {
        let lag = self.lag?.value.as_secs_f64();
        let speed = -self.velocity.filter(|velocity| *velocity < -DEAD_BAND)?;
        (lag > 0.0).then(|| Duration::try_from_secs_f64(lag / speed).ok())?
    }

    fn data_loss(&self) -> Option<Duration> {
        // A reader that is where it should be is not on its way to losing anything.
        let lag = self.lag.filter(|lag| lag.value > LAG_ALLOWED)?;
        let left = self.retention?.saturating_sub(lag.value).as_secs_f64();
        let speed = self.velocity.filter(|velocity| *velocity > DEAD_BAND)?;
        Duration::try_from_secs_f64(left / speed).ok()
    }

    fn retention_used(&self) -> Option<f64> {
        Some((self.lag?.value.as_secs_f64() / self.retention?.as_secs_f64()).min(1.0))
    }
}
