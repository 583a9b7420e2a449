//! Owns a real hub with ten thousand lag series: the binary as a process of its own, told by a
//! hundred sidecars' reports, scraped, and its resident memory as the kernel counts it. Linux only.

use kinescope::domain::observation::{Place, ReadPoint, Report};
use kinescope::domain::time::Wall;
use kinescope::wire::observations::write;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

const SIDECARS: usize = 100;
const SHARDS: usize = 100;
/// After forty seconds a window holds as many points as it ever will need room for.
const SECONDS: u64 = 45;
const SCRAPES: usize = 10;
const LAG: &str = "kinesis_consumer_delivery_lag_seconds{";

struct Hub {
    process: Child,
    admin: u16,
    otlp: u16,
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Prints what the process holds: at rest, with its series, after scrapes, and at its peak.
pub(crate) fn measure() {
    let hub = start();
    println!("\n{:<44}{:>14}", "a hub's process, kinescope run --role hub", "resident");
    let said = |what: &str, bytes: u64| println!("{what:<44}{:>10.1} MiB", mib(bytes));
    said("at rest", hub.resident());
    let began = Instant::now();
    for second in 0..SECONDS {
        (0..SIDECARS).for_each(|sidecar| hub.tell(sidecar, second));
        let next = Duration::from_secs(second + 1);
        sleep(next.saturating_sub(began.elapsed()));
    }
    let held = hub.resident();
    let peak_unscraped = hub.status("VmHWM:");
    let mut series = 0;
    for _ in 0..SCRAPES {
        let text = http(hub.admin, "GET", "/metrics", "text/plain", &[]);
        series = text.lines().filter(|line| line.starts_with(LAG)).count();
        sleep(Duration::from_millis(500));
    }
    let scraped = hub.resident();
    said(&format!("with {series} lag series"), held);
    said(&format!("after {SCRAPES} scrapes of them, goal 40 MiB"), scraped);
    said("at its peak, unscraped", peak_unscraped);
    said("at its peak, in a scrape", hub.status("VmHWM:"));
    assert_eq!(series, SIDECARS * SHARDS, "not every shard has its series");
}

fn start() -> Hub {
    let [admin, otlp] = [free_port(), free_port()];
    let text = format!(
        "role: hub\nservice: {{ name: bench }}\nregion: us-east-1\nstate: null\ncloudwatch: {{ enabled: false }}\n\
         proxy: {{ upstream: {{ endpoint: \"http://127.0.0.1:1\" }} }}\n\
         otlp: {{ receive: {{ listen: [\"127.0.0.1:{otlp}\"] }} }}\n\
         admin: {{ listen: [\"127.0.0.1:{admin}\"] }}\n"
    );
    let path = std::env::temp_dir().join(format!("kinescope-bench-{admin}.yaml"));
    std::fs::write(&path, text).expect("a configuration file");
    let process = Command::new(env!("CARGO_BIN_EXE_kinescope"))
        .args(["run", "--config"])
        .arg(&path)
        .env_clear()
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this build's binary");
    let hub = Hub { process, admin, otlp };
    let ready = |_: &u32| {
        sleep(Duration::from_millis(100));
        TcpStream::connect(("127.0.0.1", otlp)).is_ok()
            && http(admin, "GET", "/readyz", "*/*", &[]).starts_with("HTTP/1.1 200")
    };
    assert!((0..200).any(|turn| ready(&turn)), "the hub is not ready");
    std::fs::remove_file(path).expect("the configuration file that was written");
    hub
}

impl Hub {
    /// A second's reads of one sidecar, whose consumer is half a minute behind.
    fn tell(&self, sidecar: usize, second: u64) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a date");
        let now = Wall::from_ms(now.as_millis() as u64);
        let read = |shard: usize| {
            let sequence = |n: u64| {
                let number = format!(
                    "4959033827149025660855969253836157109592157598{:010}",
                    second * 100 + n
                );
                Some(number.as_str().into())
            };
            let place = Place {
                stream: format!("orders-{sidecar}").as_str().into(),
                consumer: "inventory".into(),
                shard: format!("shardId-{shard:012}").as_str().into(),
            };
            ReadPoint {
                place,
                at: now.minus(Duration::from_millis(shard as u64 * 9)),
                behind: Some(Duration::from_millis(30_000 - 100 * second)),
                reads: second + 1,
                records: 50 * (second + 1),
                interval: (second > 0).then_some(Duration::from_secs(1)),
                oldest_sequence: sequence(0),
                newest_sequence: sequence(49),
                newest_arrival: Some(now.minus(Duration::from_secs(30))),
                shard_ended: false,
            }
        };
        let report = Report {
            service: "inventory".into(),
            instance: format!("pod-{sidecar}").as_str().into(),
            host: None,
            started: now.minus(Duration::from_secs(second + 60)),
            sent: now,
            leaving: false,
            reads: (0..SHARDS).map(read).collect(),
            failures: Vec::new(),
            connections: vec![("inventory".into(), 1)],
            puts: Vec::new(),
        };
        let body = write(&report, "us-east-1");
        let answer = http(self.otlp, "POST", "/v1/metrics", "application/x-protobuf", &body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.200}");
    }

    /// Bytes.
    fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// A line of the kernel's account of the process, in bytes.
    fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("the hub's process");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1_024
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The answer, head and body.
fn http(port: u16, method: &str, path: &str, kind: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the hub's port");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\naccept: {kind}\r\n\
         content-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = Vec::new();
    stream.write_all(head.as_bytes()).expect("the head is taken");
    stream.write_all(body).expect("the body is taken");
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}
