//! Owns what a command says of itself while it works, on standard error: on a terminal one line that
//! is written over, elsewhere a plain line now and then. Refuses to speak of what is done within a
//! second, and to disturb what goes to standard output.

use crate::io::clock::Clock;
use std::fmt::Display;
use std::io::{IsTerminal, Stderr, Write};
use std::time::Duration;

/// Work that is done so soon needs no words.
const QUIET: Duration = Duration::from_secs(1);
/// Between two lines where they stay.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Between two lines that are written over: as fast as they can be read.
const TERMINAL_EVERY: Duration = Duration::from_millis(100);
/// Back to the begin of the line, and nothing on it.
const ERASE: &str = "\r\x1b[K";

/// The progress of one command.
pub(super) struct Progress<W: Write = Stderr> {
    out: W,
    terminal: bool,
    clock: Clock,
    /// When the next line may be said.
    next: Duration,
    /// Whether a line stands on the terminal.
    shown: bool,
}

impl Progress {
    /// Begins now.
    pub(super) fn begin() -> Self {
        let err = std::io::stderr();
        let terminal = err.is_terminal();
        Self::on(err, terminal, Clock::system())
    }
}

impl<W: Write> Progress<W> {
    fn on(out: W, terminal: bool, clock: Clock) -> Self {
        let next = clock.now().mono.saturating_add(QUIET);
        Self { out, terminal, clock, next, shown: false }
    }

    /// Says how far it is, where it is time to: cheap to call often.
    pub(super) fn tell<D: Display>(&mut self, line: impl FnOnce() -> D) {
        let now = self.clock.now().mono;
        if now >= self.next {
            let every = if self.terminal { TERMINAL_EVERY } else { PLAIN_EVERY };
            self.next = now.saturating_add(every);
            self.write(&line());
        }
    }

    /// Says on a terminal, at once, what is waited for; elsewhere its outcome will do.
    pub(super) fn waiting(&mut self, line: impl Display) {
        if self.terminal {
            self.write(&line);
        }
    }

    /// Takes the line away, before another that stays.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            self.put(format_args!("{ERASE}"));
        }
    }

    fn write(&mut self, line: &dyn Display) {
        if self.terminal {
            self.shown = true;
            self.put(format_args!("{ERASE}{line} …"));
        } else {
            self.put(format_args!("kinescope: {line}\n"));
        }
    }

    /// A reader that has gone away is no reason to fail.
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        let _gone = self.out.write_fmt(text).and_then(|()| self.out.flush());
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;

    /// What is written when something is told at each of these times, in milliseconds.
    async fn check(terminal: bool, times_ms: &[u64], expected: &str) {
        let clock = Clock::simulated(Wall::from_ms(0));
        let mut out = Vec::new();
        let mut progress = Progress::on(&mut out, terminal, clock.clone());
        for at in times_ms {
            clock.sleep_until(Duration::from_millis(*at)).await;
            progress.tell(|| format!("at {at}"));
        }
        drop(progress);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn elsewhere_plain_lines_now_and_then() {
        check(false, &[0, 999], "").await;
        check(false, &[1_000, 5_999, 6_000], "kinescope: at 1000\nkinescope: at 6000\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_terminal_one_line_that_ends_with_the_work() {
        check(true, &[0, 999], "").await;
        let line = |text: &str| format!("\r\x1b[K{text}");
        let expected = line("at 1000 …") + &line("at 1100 …") + &line("");
        check(true, &[1_000, 1_050, 1_100], &expected).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_is_shown_at_once_and_taken_away() {
        let mut out = Vec::new();
        let mut progress = Progress::on(&mut out, true, Clock::simulated(Wall::from_ms(0)));
        progress.waiting("upstream");
        progress.clear();
        progress.clear();
        drop(progress);
        assert_eq!(String::from_utf8(out).unwrap(), "\r\x1b[Kupstream …\r\x1b[K");
        let mut out = Vec::new();
        Progress::on(&mut out, false, Clock::simulated(Wall::from_ms(0))).waiting("upstream");
        assert!(out.is_empty());
    }
}
