//! Owns what a history is about: the world at its start and what happens in it, out of a seed.
//! Refuses to know the rules that are tested.

use crate::chance::Chance;

/// Milliseconds.
pub(crate) type Ms = u64;

/// A kind of happening, by which a history can be about one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Slow,
    Pause,
    PauseShard,
    Kill,
    KillPod,
    Hang,
    Deploy,
    Move,
    Split,
    Merge,
    Quiet,
    Burst,
    Retention,
    Stick,
    Throttle,
    Rewind,
    Withhold,
    Recreate,
}

impl Kind {
    pub(crate) const ALL: [Self; 18] = [
        Self::Slow,
        Self::Pause,
        Self::PauseShard,
        Self::Kill,
        Self::KillPod,
        Self::Hang,
        Self::Deploy,
        Self::Move,
        Self::Split,
        Self::Merge,
        Self::Quiet,
        Self::Burst,
        Self::Retention,
        Self::Stick,
        Self::Throttle,
        Self::Rewind,
        Self::Withhold,
        Self::Recreate,
    ];
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Happening {
    pub(crate) at: Ms,
    pub(crate) kind: Kind,
    /// How long it lasts, where it ends by itself.
    pub(crate) lasts: Ms,
    /// Chooses a pod, a shard, a factor: whatever the kind has to choose.
    pub(crate) choice: u64,
}

/// Where readers begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Latest,
    TrimHorizon,
    /// At a checkpoint of so long ago.
    Ago(Ms),
}

/// A whole history before it happens.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) lasts: Ms,
    pub(crate) shards: usize,
    pub(crate) pods: usize,
    /// How often a reader polls.
    pub(crate) interval: Ms,
    /// Records a second and shard.
    pub(crate) rate: f64,
    pub(crate) retention: Ms,
    pub(crate) start: Start,
    /// How many times faster than records come a healthy reader is.
    pub(crate) speed: f64,
    /// `MillisBehindLatest` is off by up to this.
    pub(crate) noise: Ms,
    /// What is seen besides each pod's own reads: other sidecars, leases, all puts.
    pub(crate) hears_others: bool,
    pub(crate) has_leases: bool,
    pub(crate) sees_puts: bool,
    /// Readers close their connection after every call.
    pub(crate) closes: bool,
    /// The last pod has no sidecar: what it reads is read past them.
    pub(crate) past: bool,
    pub(crate) happenings: Vec<Happening>,
    pub(crate) seed: u64,
}

impl Plan {
    /// A history of all kinds.
    pub(crate) fn any(seed: u64) -> Self {
        Self::of(seed, &Kind::ALL)
    }

    /// A history of these kinds.
    pub(crate) fn of(seed: u64, kinds: &[Kind]) -> Self {
        let mut chance = Chance::new(seed);
        let lasts = chance.within(420..900) * 1_000;
        let mut happenings = Vec::new();
        let mut at = 60_000;
        while at + 60_000 < lasts {
            let kind = chance.pick(kinds);
            let lasts = chance.within(2..150) * 1_000;
            happenings.push(Happening { at, kind, lasts, choice: chance.within(0..1 << 40) });
            // Mostly one thing after another, now and then several at once.
            let wait = if chance.happens(0.2) { 1..20 } else { 60..200 };
            at += chance.within(wait) * 1_000;
        }
        let retention = chance.pick(&[600_000, 1_800_000, 86_400_000, 86_400_000]);
        let start = match chance.index(6) {
            0 => Start::TrimHorizon,
            1 => Start::Ago(chance.within(10..300) * 1_000),
            _ => Start::Latest,
        };
        // Now and then a reader that is about to lose data.
        let edge = chance.happens(0.15);
        let (retention, start) =
            if edge { (600_000, Start::Ago(560_000)) } else { (retention, start) };
        if edge {
            let choice = chance.within(0..1 << 40);
            happenings
                .insert(0, Happening { at: 20_000, kind: Kind::Slow, lasts: 350_000, choice });
        }
        Self {
            lasts,
            shards: 1 + chance.index(4),
            pods: 1 + chance.index(3),
            interval: chance.pick(&[250, 500, 1_000, 1_000, 1_000, 2_000, 5_000, 10_000]),
            rate: chance.pick(&[0.5, 1.0, 2.0, 4.0, 8.0]),
            retention,
            start,
            speed: chance.pick(&[3.0, 5.0, 20.0]),
            noise: chance.pick(&[0, 0, 50, 300]),
            hears_others: chance.happens(0.7),
            has_leases: chance.happens(0.4),
            sees_puts: chance.happens(0.5),
            closes: chance.happens(0.06),
            past: false,
            happenings,
            seed,
        }
    }
}
