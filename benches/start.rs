//! Owns one figure: how long `kinescope run` takes from exec until it serves. Each start has a state
//! folder of its own, empty; serving is the first 200 of `/readyz`, and the first answer on the data
//! plane, which is more than a connection: the kernel accepts those before anybody looks at them.
//!
//! `cargo bench --bench start -- PATH` takes another binary, such as the image's.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark ends where it cannot measure, and prints"
)]

use figures::{Bound, Goal, goals, median};
use kinescope::io::clock::Clock;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[expect(dead_code, reason = "the benchmark of the proxy takes more of it")]
#[path = "proxy/figures.rs"]
mod figures;

const STARTS: usize = 20;
const GOAL_MS: f64 = 100.0;
/// A start that takes longer is none.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Between two tries: fine against the goal, and no burden for the process that starts.
const PAUSE: Duration = Duration::from_micros(500);

/// Answered by the sidecar itself, without an upstream.
const EXTRACT: &str = "POST /envelope/v1/extract HTTP/1.1\r\nHost: localhost\r\n\
     Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
const READY: &str = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn main() {
    let given = std::env::args().skip(1).map(PathBuf::from).find(|path| path.is_file());
    let binary = given.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_kinescope")));
    let scratch = std::env::temp_dir().join(format!("kinescope-start-{}", std::process::id()));
    // The first only brings the program into the page cache.
    let times: Vec<(f64, f64)> = (0..=STARTS).map(|n| start(&binary, &scratch, n)).collect();
    std::fs::remove_dir_all(&scratch).ok();
    let of = |pick: fn(&(f64, f64)) -> f64| times.iter().skip(1).map(pick).collect::<Vec<f64>>();
    let (ready, served) = (of(|(ready, _)| *ready), of(|(_, served)| *served));
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    println!(
        "{STARTS} starts of {}; load {}; at most {:.0} ms and {:.0} ms",
        binary.display(),
        load(),
        most(&ready),
        most(&served)
    );
    let goal = |what, measured| Goal { what, bound: Bound::AtMost(GOAL_MS), unit: " ms", measured };
    println!(
        "{}",
        goals(&[
            goal("exec to /readyz, median", median(&ready)),
            goal("exec to the first answer of the data plane, median", median(&served)),
        ])
    );
}

/// One start: milliseconds from exec to readiness, and to the first answer of the data plane.
fn start(binary: &Path, scratch: &Path, n: usize) -> (f64, f64) {
    let folder = scratch.join(n.to_string());
    std::fs::create_dir_all(folder.join("state")).expect("a scratch folder");
    let (data, admin) = (free(), free());
    let text = format!(
        "service: {{ name: bench }}\nregion: us-east-1\nstate: {}\nproxy:\n  listen: [\"{data}\"]\n  \
         upstream: {{ endpoint: \"http://{}\" }}\nadmin: {{ listen: [\"{admin}\"] }}\n",
        folder.join("state").display(),
        free(),
    );
    let config = folder.join("kinescope.yaml");
    std::fs::write(&config, text).expect("a configuration file");
    let mut command = Command::new(binary);
    command.args(["run", "--config"]).arg(config).env_clear().envs([
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]);
    // Its clock starts at zero.
    let clock = Clock::system();
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _process = Running(child.expect("the program starts"));
    std::thread::scope(|scope| {
        let ready = scope.spawn(|| until(&clock, admin, READY, "HTTP/1.1 200"));
        let served = scope.spawn(|| until(&clock, data, EXTRACT, "HTTP/1.1 200"));
        (ready.join().expect("an answer"), served.join().expect("an answer"))
    })
}

/// Milliseconds until this request is answered like that.
fn until(clock: &Clock, address: SocketAddr, request: &str, expected: &str) -> f64 {
    loop {
        let answered = call(address, request).is_ok_and(|answer| answer.starts_with(expected));
        let now = clock.now().mono;
        if answered {
            return now.as_secs_f64() * 1e3;
        }
        assert!(now < GIVE_UP, "{address} does not answer");
        std::thread::sleep(PAUSE);
    }
}

fn call(address: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(GIVE_UP))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// An address of loopback that nobody listens on.
fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address")
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
