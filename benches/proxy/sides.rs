//! Owns the sides under comparison: each a process on a port, and what was measured of it.

use crate::figures::median;
use crate::{load, process};
use std::path::{Path, PathBuf};

/// One side of the comparison.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) process: process::Process,
    pub(crate) port: u16,
    pub(crate) resident_bytes_max: u64,
}

pub(crate) const BARE: &str = "bare hyper pass-through";
pub(crate) const NGINX: &str = "nginx, one worker";
pub(crate) const OURS: &str = "kinescope, no exporter";
pub(crate) const ALIVE: &str = "kinescope, receivers alive";
pub(crate) const DEAD: &str = "kinescope, receivers dead";
pub(crate) const BASE: &str = "kinescope, the other build";
pub(crate) const ENVOY: &str = "Envoy, AWS signing filter";

/// Starts the sides that tell what a change did: the bare proxy, this build, and another build if
/// `KINESCOPE_BASE` names one.
pub(crate) async fn few(scratch: &Path, origin: u16) -> Vec<Side> {
    let upstream = format!("http://127.0.0.1:{origin}");
    let kinescope =
        |binary: &Path, port| process::kinescope(binary, scratch, port, &upstream, None, None);
    let mut sides = vec![
        side(BARE, |port| process::bare(port, origin, "default")),
        side(OURS, |port| kinescope(process::OURS.as_ref(), port)),
    ];
    if let Some((base, _)) = binary("KINESCOPE_BASE", &[]) {
        sides.push(side(BASE, |port| kinescope(&base, port)));
    }
    up(sides).await
}

/// Starts all sides that this machine has, and waits for each; says which are left out.
pub(crate) async fn all(scratch: &Path, origin: u16, collector: u16) -> Vec<Side> {
    let upstream = format!("http://127.0.0.1:{origin}");
    let dead = process::free_port();
    let ours = process::OURS.as_ref();
    let kinescope =
        |port, receivers| process::kinescope(ours, scratch, port, &upstream, receivers, None);
    let mut sides = vec![
        side(BARE, |port| process::bare(port, origin, "default")),
        side("the same on one thread", |port| process::bare(port, origin, "one")),
        side(OURS, |port| kinescope(port, None)),
        side(ALIVE, |port| kinescope(port, Some(collector))),
        side(DEAD, |port| kinescope(port, Some(dead))),
    ];
    match binary("NGINX_BIN", &["/usr/sbin/nginx", "/usr/bin/nginx"]) {
        Some((nginx, version)) => {
            println!("{NGINX}: {version}");
            sides.push(side(NGINX, |port| process::nginx(&nginx, scratch, port, origin)));
        }
        None => println!("nginx was left out: set NGINX_BIN, or `make bench` unpacks Debian's"),
    }
    match binary("ENVOY_BIN", &[]) {
        Some((envoy, version)) => {
            println!("{ENVOY}: {version}");
            sides.push(side(ENVOY, |port| process::envoy(&envoy, scratch, port, origin)));
        }
        None => println!("Envoy was left out: set ENVOY_BIN, or `make bench` installs it"),
    }
    up(sides).await
}

async fn up(sides: Vec<Side>) -> Vec<Side> {
    for side in &sides {
        load::until_up(side.port).await;
    }
    sides
}

fn side(name: &'static str, start: impl FnOnce(u16) -> process::Process) -> Side {
    let port = process::free_port();
    Side { name, process: start(port), port, resident_bytes_max: 0 }
}

/// A program that the environment names, or one at a usual place, that can tell its version.
#[expect(clippy::disallowed_methods, reason = "the Makefile names the binaries this way")]
fn binary(variable: &str, usual: &[&str]) -> Option<(PathBuf, String)> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let all = named.into_iter().chain(usual.iter().map(PathBuf::from));
    let argument = if variable == "NGINX_BIN" { "-v" } else { "--version" };
    all.into_iter().find_map(|path| process::version(&path, argument).map(|said| (path, said)))
}

/// Figures of each side, one a round, in the order of the sides.
pub(crate) struct Rounds(pub(crate) Vec<(&'static str, Vec<f64>)>);

impl Rounds {
    /// Measures each side once a round, all sides in turn.
    pub(crate) async fn measure(
        rounds: usize,
        sides: &mut [Side],
        mut measure: impl AsyncFnMut(&mut Side) -> f64,
    ) -> Self {
        let mut all: Vec<_> = sides.iter().map(|side| (side.name, Vec::new())).collect();
        // The first round warms caches, pools and branch predictors.
        for round in 0..=rounds {
            for (side, (_, figures)) in sides.iter_mut().zip(&mut all) {
                let figure = measure(side).await;
                if round > 0 {
                    figures.push(figure);
                }
            }
        }
        Self(all)
    }

    /// A side's figures; none where it is missing.
    pub(crate) fn of(&self, name: &str) -> &[f64] {
        self.0.iter().find(|(of, _)| *of == name).map_or(&[], |(_, figures)| figures)
    }

    /// Median of one side against another, round by round; not a number where one is missing.
    pub(crate) fn ratio(&self, name: &str, against: &str) -> f64 {
        self.ratio_to(name, against, 0.0)
    }

    /// The same, where the other has so much more to do.
    pub(crate) fn ratio_to(&self, name: &str, against: &str, more: f64) -> f64 {
        let pairs = self.of(name).iter().zip(self.of(against));
        median(&pairs.map(|(one, other)| one / (other + more)).collect::<Vec<_>>())
    }
}
