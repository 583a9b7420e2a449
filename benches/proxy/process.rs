//! Owns the processes under comparison: how each is started, and what the kernel says of it.

use crate::splice::thread_cpu;
use sha2::Digest as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A child that ends with its owner.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Process {
    /// User and system time of all threads so far, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("Linux' /proc");
        // schedstat counts nanoseconds, where stat has ticks of ten milliseconds.
        let nanos = |task: std::fs::DirEntry| -> Option<f64> {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse().ok()
        };
        tasks.flatten().filter_map(nanos).sum::<f64>() / 1_000.0
    }

    /// Resident memory.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1_024
    }
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn spawn(command: &mut Command) -> Process {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Process(child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
}

/// This program again, as the bare proxy.
pub(crate) fn bare(port: u16, origin: u16, threads: &str) -> Process {
    let own = std::env::current_exe().expect("our own path");
    spawn(Command::new(own).args([
        "bare",
        &format!("127.0.0.1:{port}"),
        &format!("127.0.0.1:{origin}"),
        threads,
    ]))
}

/// This build's binary.
pub(crate) const OURS: &str = env!("CARGO_BIN_EXE_kinescope");

/// `kinescope run` with an upstream, if `receivers` is a port with spans and alerts sent there, and
/// trusting `roots` beside the system's.
pub(crate) fn kinescope(
    binary: &Path,
    scratch: &Path,
    port: u16,
    upstream: &str,
    receivers: Option<u16>,
    roots: Option<&Path>,
) -> Process {
    let admin = free_port();
    let telemetry = receivers.map_or(String::new(), |receivers| {
        format!("otlp: {{ endpoint: \"http://127.0.0.1:{receivers}\" }}\nalerts:\n  receivers:\n    - {{ name: hook, webhook: {{ url: \"http://127.0.0.1:{receivers}/\" }} }}\n")
    });
    let text = format!(
        "service: {{ name: bench }}\nregion: us-east-1\nproxy:\n  listen: [\"127.0.0.1:{port}\"]\n  upstream: {{ endpoint: \"{upstream}\" }}\nadmin: {{ listen: [\"127.0.0.1:{admin}\"] }}\n{telemetry}"
    );
    let path = scratch.join(format!("{port}.yaml"));
    std::fs::write(&path, text).expect("a configuration file");
    spawn(
        Command::new(binary)
            .args(["run", "--config"])
            .arg(path)
            .env_clear()
            .envs([
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
            ])
            .envs(roots.map(|roots| ("AWS_CA_BUNDLE", roots))),
    )
}

/// Envoy with one worker for each core, like the others, and its AWS signing filter.
pub(crate) fn envoy(binary: &Path, scratch: &Path, port: u16, origin: u16) -> Process {
    let path = scratch.join("envoy.yaml");
    let text = include_str!("envoy.yaml")
        .replace("LISTEN_PORT", &port.to_string())
        .replace("ORIGIN_PORT", &origin.to_string());
    std::fs::write(&path, text).expect("a configuration file");
    spawn(
        Command::new(binary)
            .args(["--log-level", "off", "--disable-hot-restart", "-c"])
            .arg(path)
            .envs([
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
            ]),
    )
}

/// nginx with one worker, passing the bytes untouched.
pub(crate) fn nginx(binary: &Path, scratch: &Path, port: u16, origin: u16) -> Process {
    let path = scratch.join("nginx.conf");
    let text = include_str!("nginx.conf")
        .replace("LISTEN_PORT", &port.to_string())
        .replace("ORIGIN_PORT", &origin.to_string())
        .replace("SCRATCH", &scratch.display().to_string());
    std::fs::write(&path, text).expect("a configuration file");
    spawn(Command::new(binary).args(["-e", "stderr", "-p"]).arg(scratch).arg("-c").arg(path))
}

/// What a program says of its version; none if it cannot be started.
pub(crate) fn version(binary: &Path, argument: &str) -> Option<String> {
    let output = Command::new(binary).arg(argument).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&said).split_whitespace().last()?.to_owned())
}

/// CPU that this thread takes for the SHA-256 of these bytes, in microseconds.
pub(crate) fn sha256_micros(bytes: &[u8]) -> f64 {
    const TIMES: usize = 20;
    let before = thread_cpu();
    for _ in 0..TIMES {
        std::hint::black_box(sha2::Sha256::digest(std::hint::black_box(bytes)));
    }
    (thread_cpu() - before).as_secs_f64() * 1e6 / TIMES as f64
}

/// The machine, for the table's head.
pub(crate) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("{cores} cores, {model}; kinescope {}", env!("CARGO_PKG_VERSION"))
}
