//! Owns how each kind of happening changes the world, and what follows from it later. Refuses to
//! know what anybody sees of it.

use crate::plan::{Happening, Kind, Ms};
use crate::world::{Later, Pod, Reader, World, batch};

/// KCL gives a dead worker's lease away after so long.
const FAILOVER: Ms = 12_000;

impl World {
    pub(crate) fn happen(&mut self, it: Happening) {
        let until = self.now + it.lasts;
        let alive: Vec<usize> = (0..self.pods.len()).filter(|pod| self.pods[*pod].alive).collect();
        let chosen = it.choice as usize;
        let Some(pod) = alive.get(chosen % alive.len().max(1)).copied() else { return };
        let shard = chosen / 7 % self.shards.len();
        match it.kind {
            Kind::Slow => self.slow(chosen, until),
            Kind::Pause => self.pause(pod, None, 1_000 + it.lasts % 29_001),
            Kind::PauseShard => self.pause(pod, Some(chosen), 1_000 + it.lasts % 29_001),
            Kind::Hang => {
                let until = self.now + 60_000 + it.lasts;
                for reader in self.pods[pod].readers.values_mut() {
                    reader.paused = Some((reader.last_read.unwrap_or(self.now), until));
                }
            }
            Kind::Kill => {
                self.kill(pod);
                let back = !(chosen / 13).is_multiple_of(4);
                self.pods[pod].back_at = back.then_some(until);
                if it.lasts > 25_000 || !back {
                    self.fail_over(pod, FAILOVER + it.choice % 4_000);
                }
            }
            Kind::KillPod => {
                self.kill(pod);
                self.pods[pod].watched = false;
                self.later.push((until, Later::Replace { pod }));
                self.fail_over(pod, FAILOVER + it.choice % 4_000);
            }
            Kind::Deploy => {
                for (turn, pod) in alive.into_iter().enumerate() {
                    self.later.push((self.now + 8_000 * turn as Ms, Later::Replace { pod }));
                }
            }
            Kind::Move => {
                if self.shards[shard].owner.is_some_and(|owner| owner != pod) {
                    self.hand_over(shard, pod, 500 + it.choice % 2_500);
                }
            }
            Kind::Split | Kind::Merge => self.reshard(it.kind, shard),
            Kind::Quiet | Kind::Burst => {
                let factor = if it.kind == Kind::Quiet { 0.0 } else { 3.0 };
                self.shards.iter_mut().for_each(|shard| shard.rate *= factor);
                self.later.push((self.now + 100_000 + 2 * it.lasts, Later::Rate));
            }
            Kind::Retention => self.retain(chosen),
            Kind::Stick => self.reader(pod, chosen, |it| it.stuck_until = until + 20_000),
            Kind::Throttle => self.reader(pod, chosen, |it| it.throttled_until = until),
            Kind::Withhold => self.reader(pod, chosen, |it| it.withheld_until = until + 20_000),
            Kind::Rewind => self.rewind(pod, chosen, it.lasts),
            Kind::Recreate => self.recreate(),
        }
    }

    /// Every reader is slow for a while.
    fn slow(&mut self, chosen: usize, until: Ms) {
        let factor = [0.3, 0.5, 0.8, 1.0, 0.6][chosen / 11 % 5];
        self.work_at(self.plan.rate * factor);
        self.later.push((until.max(self.now + 60_000), Later::Recover));
    }

    fn work_at(&mut self, capacity: f64) {
        let batch = batch(capacity, self.plan.interval);
        for reader in self.pods.iter_mut().flat_map(|pod| pod.readers.values_mut()) {
            (reader.capacity, reader.batch) = (capacity, batch);
        }
    }

    fn rewind(&mut self, pod: usize, chosen: usize, lasts: Ms) {
        let (now, back) = (self.now, 20_000 + lasts);
        let shards = &self.shards;
        let Some((shard, reader)) = nth(&mut self.pods[pod], chosen) else { return };
        let records = &shards[shard].records;
        reader.stuck_until = 0;
        reader.next = records.partition_point(|at| at + back < now).min(reader.next);
        // A reader of usual speed is back too soon to be looked at.
        reader.capacity = self.plan.rate * [1.0, 1.2, 1.5][chosen % 3];
        reader.batch = batch(reader.capacity, self.plan.interval);
        if reader.next < reader.furthest {
            reader.went_back_at = Some(now);
        }
        self.later.push((now + lasts.max(90_000), Later::Recover));
    }

    fn retain(&mut self, chosen: usize) {
        // What is gone does not come back; what would have gone next stays.
        self.trim();
        self.retention = [600_000, 900_000, 1_800_000, 86_400_000][chosen % 4];
        for reader in self.pods.iter_mut().flat_map(|pod| pod.readers.values_mut()) {
            reader.lost_at = None;
        }
    }

    /// Everything that is due.
    pub(crate) fn follow(&mut self) {
        let mut due = Vec::new();
        let now = self.now;
        self.later.retain(|(at, later)| {
            if *at <= now {
                due.push(*later);
            }
            *at > now
        });
        for later in due {
            match later {
                Later::Give { shard, pod } => {
                    let pod = if self.pods[pod].alive { Some(pod) } else { self.any_alive() };
                    if let Some(pod) = pod
                        && !self.shards[shard].drained
                    {
                        self.give(shard, pod);
                    }
                }
                Later::Recover => self.work_at(self.healthy()),
                Later::Rate => {
                    let rate = self.plan.rate;
                    self.shards.iter_mut().for_each(|shard| shard.rate = rate);
                }
                Later::Replace { pod } => self.replace(pod),
            }
        }
        for pod in 0..self.pods.len() {
            if self.pods[pod].back_at.is_some_and(|at| at <= now) {
                self.pods[pod].back_at = None;
                self.pods[pod].alive = true;
                self.own(pod).into_iter().for_each(|shard| self.give(shard, pod));
            }
            if self.pods[pod].gone_at.is_some_and(|at| at <= now) {
                self.pods[pod].watched = false;
            }
        }
    }

    fn own(&self, pod: usize) -> Vec<usize> {
        let own = |shard: &usize| self.shards[*shard].owner == Some(pod);
        (0..self.shards.len()).filter(own).filter(|shard| !self.shards[*shard].drained).collect()
    }

    fn any_alive(&self) -> Option<usize> {
        (0..self.pods.len()).find(|pod| self.pods[*pod].alive)
    }

    fn pause(&mut self, pod: usize, which: Option<usize>, lasts: Ms) {
        let (now, count) = (self.now, self.pods[pod].readers.len().max(1));
        for (index, reader) in self.pods[pod].readers.values_mut().enumerate() {
            if which.is_none_or(|which| which % count == index) && reader.next_poll != Ms::MAX {
                // A pause begins with the last read.
                let began = reader.last_read.unwrap_or(now);
                let until = reader.paused.map_or(0, |(_, until)| until);
                if until < began + lasts {
                    reader.paused = Some((began, began + lasts));
                }
            }
        }
    }

    fn kill(&mut self, pod: usize) {
        let it = &mut self.pods[pod];
        it.alive = false;
        for reader in it.readers.values_mut() {
            (reader.next_poll, reader.paused) = (Ms::MAX, None);
        }
        // The last batch was not yet done.
        for shard in self.own(pod) {
            let back = self.chance.index(8);
            let checkpoint = &mut self.shards[shard].checkpoint;
            *checkpoint = checkpoint.saturating_sub(back);
        }
    }

    /// Others take a dead worker's shards.
    fn fail_over(&mut self, pod: usize, after: Ms) {
        let Some(other) = self.any_alive() else { return };
        if self.plan.has_leases {
            for shard in self.own(pod) {
                self.later.push((self.now + after, Later::Give { shard, pod: other }));
            }
        }
    }

    fn hand_over(&mut self, shard: usize, pod: usize, after: Ms) {
        if let Some(owner) = self.shards[shard].owner
            && let Some(reader) = self.pods[owner].readers.get_mut(&shard)
        {
            reader.next_poll = Ms::MAX;
            reader.paused = None;
        }
        self.later.push((self.now + after, Later::Give { shard, pod }));
    }

    /// A new pod in place of one.
    fn replace(&mut self, old: usize) {
        let own = self.own(old);
        if self.pods[old].alive {
            self.kill(old);
        }
        self.pods[old].gone_at = Some(self.now + 3_000);
        let new = self.pods.len();
        self.pods.push(Pod { alive: true, watched: true, ..Pod::default() });
        for shard in own {
            let after = self.chance.within(500..3_000);
            self.later.push((self.now + after, Later::Give { shard, pod: new }));
        }
    }

    fn reshard(&mut self, kind: Kind, shard: usize) {
        let open = |it: &usize| !self.shards[*it].closed && self.shards[*it].owner.is_some();
        let mut parents = vec![shard];
        if kind == Kind::Merge {
            parents.extend((0..self.shards.len()).find(|other| *other != shard && open(other)));
        }
        if !open(&shard) || self.shards.len() > 12 || (kind == Kind::Merge && parents.len() < 2) {
            return;
        }
        let rate = self.shards[shard].rate;
        parents.iter().for_each(|parent| self.shards[*parent].closed = true);
        for _ in 0..(if kind == Kind::Split { 2 } else { 1 }) {
            let child = self.shard(parents.clone());
            self.shards[child].rate = rate;
        }
    }

    fn reader(&mut self, pod: usize, chosen: usize, change: impl FnOnce(&mut Reader)) {
        if let Some((_, reader)) = nth(&mut self.pods[pod], chosen) {
            change(reader);
        }
    }
}

/// One of the shards that the pod reads.
fn nth(pod: &mut Pod, chosen: usize) -> Option<(usize, &mut Reader)> {
    let count = pod.readers.len().max(1);
    pod.readers.iter_mut().nth(chosen / 17 % count).map(|(shard, reader)| (*shard, reader))
}
