//! Owns reading what the system says of this process: CPU time and memory. Refuses to guess where
//! the system says nothing.

use crate::wire::status::counts::Own;
use std::time::Duration;

/// Linux counts in hundredths of a second wherever it tells a program, whatever it counts in.
const TICK_MS: u64 = 10;

/// Reads `/proc/self`; not for the thread that carries the application's traffic.
pub(super) fn own() -> Own {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    parse(&read("/proc/self/stat"), &read("/proc/self/status"))
}

/// Source: proc_pid_stat(5), fields 14 and 15; proc_pid_status(5).
fn parse(stat: &str, status: &str) -> Own {
    // The program's own name stands in brackets, and may hold spaces and brackets.
    let ticks = stat.rsplit_once(')').and_then(|(_, rest)| {
        let mut fields = rest.split_ascii_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        ticks()?.checked_add(ticks()?)
    });
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1_024)
    };
    Own {
        cpu: ticks.map(|ticks| Duration::from_millis(ticks.saturating_mul(TICK_MS))),
        resident_bytes: bytes("VmRSS:"),
        resident_bytes_peak: bytes("VmHWM:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 99 1 2";
        let own = parse(stat, "Name:\ta\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n");
        let expected = Own {
            cpu: Some(Duration::from_secs(3)),
            resident_bytes: Some(2 << 20),
            resident_bytes_peak: Some(4 << 20),
        };
        assert_eq!(own, expected);
        for broken in ["", "7 (a) S 1", "7 a S 1 7 7 0 -1 4 1 0 0 0 x y"] {
            assert_eq!(parse(broken, broken), Own::default(), "{broken}");
        }
    }
}
