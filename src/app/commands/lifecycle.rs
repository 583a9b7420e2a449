//! Owns `wait`, `probe` and `quit`: one small HTTP call to the admin listener, for images that have
//! no shell and no curl. Refuses to speak to anything else.

use super::progress::Progress;
use super::{Admin, complain, say};
use crate::io::clock::Clock;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// A probe that takes longer is as good as a failed one.
const CALL: Duration = Duration::from_secs(2);

/// Between two tries of `wait`.
const PAUSE: Duration = Duration::from_millis(200);

/// More than the head of any answer of ours.
const HEAD_BYTES_MAX: u64 = 4096;

/// Waits until the service is ready; exit 1 when it is not in time.
pub(super) fn wait(
    admin: &Admin,
    environment: &BTreeMap<String, String>,
    timeout: Duration,
) -> ExitCode {
    let (clock, addresses) = (Clock::system(), addresses(admin, environment));
    let mut progress = Progress::begin();
    loop {
        let outcome = ask(&addresses, "GET", "/readyz");
        let waited = clock.now().mono;
        match outcome {
            Ok(200) => return ExitCode::SUCCESS,
            Ok(_) | Err(_) if waited < timeout => {
                progress.tell(|| waiting(&outcome, &addresses, (waited, timeout)));
                std::thread::sleep(PAUSE);
            }
            outcome => {
                progress.clear();
                return verdict(outcome, "is not ready", &addresses);
            }
        }
    }
}

/// What is waited for, why, and how long still.
fn waiting(
    outcome: &io::Result<u16>,
    addresses: &[SocketAddr],
    (waited, timeout): (Duration, Duration),
) -> String {
    let why = match outcome {
        Ok(status) => format!("it answers {status}"),
        Err(error) => error.to_string(),
    };
    let (waited, timeout) = (waited.as_secs(), timeout.as_secs());
    format!("waiting for the service at {}: {why}; {waited} s of {timeout} s", join(addresses))
}

/// Asks whether the service is ready.
pub(super) fn probe(admin: &Admin, environment: &BTreeMap<String, String>) -> ExitCode {
    let addresses = addresses(admin, environment);
    verdict(ask(&addresses, "GET", "/readyz"), "is not ready", &addresses)
}

/// Tells the service to end.
pub(super) fn quit(admin: &Admin, environment: &BTreeMap<String, String>) -> ExitCode {
    let addresses = addresses(admin, environment);
    verdict(ask(&addresses, "POST", "/-/quit"), "did not agree to end", &addresses)
}

fn verdict(outcome: io::Result<u16>, otherwise: &str, addresses: &[SocketAddr]) -> ExitCode {
    let at = join(addresses);
    match outcome {
        Ok(status) if (200..300).contains(&status) => {
            say("ok");
            return ExitCode::SUCCESS;
        }
        Ok(status) => {
            complain(format_args!("the service at {at} {otherwise}: it answered {status}"))
        }
        Err(error) => complain(format_args!(
            "the service cannot be asked at {at}: {error}; is it running, and is its admin listener \
             there? --admin ADDRESS or KINESCOPE_ADMIN__LISTEN says where"
        )),
    }
    ExitCode::FAILURE
}

fn join(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// The status of the first address that answers, else the last failure.
fn ask(addresses: &[SocketAddr], method: &str, path: &str) -> io::Result<u16> {
    let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in addresses {
        outcome = call(*address, method, path);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Where to ask: the flag, else the variable that the service itself obeys, else the default.
fn addresses(admin: &Admin, environment: &BTreeMap<String, String>) -> Vec<SocketAddr> {
    let listed = environment.get("KINESCOPE_ADMIN__LISTEN").map(String::as_str).unwrap_or_default();
    let mut addresses: Vec<SocketAddr> = admin.address.into_iter().collect();
    if addresses.is_empty() {
        addresses = listed.split(',').filter_map(|text| text.trim().parse().ok()).collect();
    }
    if addresses.is_empty() {
        addresses = vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 9590)];
    }
    addresses.into_iter().flat_map(reachable).collect()
}

/// Whoever listens on every address is asked on this machine's own.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let own = |ip: IpAddr| SocketAddr::new(ip, address.port());
    let (four, six) = (own(Ipv4Addr::LOCALHOST.into()), own(Ipv6Addr::LOCALHOST.into()));
    match address.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => vec![six, four],
        IpAddr::V4(ip) if ip.is_unspecified() => vec![four],
        IpAddr::V4(_) | IpAddr::V6(_) => vec![address],
    }
}

fn call(address: SocketAddr, method: &str, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, CALL)?;
    stream.set_read_timeout(Some(CALL))?;
    stream.set_write_timeout(Some(CALL))?;
    let head = "Connection: close\r\nContent-Length: 0\r\n\r\n";
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{head}");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut stream = stream.take(HEAD_BYTES_MAX);
    let mut piece = [0; 512];
    // The status line is enough; a server that quits need not finish the rest.
    while !answer.contains(&b'\n') {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            break;
        }
        answer.extend(piece.iter().take(count));
    }
    status(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
}

/// The status of an answer's first line.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let rest = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    rest.split(' ').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn statuses() {
        let check = |answer: &str, expected| assert_eq!(status(answer.as_bytes()), expected);
        check("HTTP/1.1 200 OK\r\n", Some(200));
        check("HTTP/1.1 503\r\n", Some(503));
        check("HTTP/1.0 204 No Content\r\nx", Some(204));
        check("SSH-2.0\r\n", None);
        check("", None);
    }

    #[test]
    fn addresses_to_ask() {
        let check = |flag: Option<&str>, variable: &str, expected: &[&str]| {
            let admin = Admin { address: flag.map(|text| text.parse().unwrap()) };
            let environment =
                BTreeMap::from([("KINESCOPE_ADMIN__LISTEN".to_owned(), variable.to_owned())]);
            let found: Vec<_> =
                addresses(&admin, &environment).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        };
        check(None, "", &["[::1]:9590", "127.0.0.1:9590"]);
        check(None, "0.0.0.0:1, 10.0.0.1:2", &["127.0.0.1:1", "10.0.0.1:2"]);
        check(Some("127.0.0.1:3"), "0.0.0.0:1", &["127.0.0.1:3"]);
    }

    #[test]
    fn a_call_asks_and_reads_the_status() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 512];
            while !request.ends_with(b"\r\n\r\n") {
                let count = stream.read(&mut piece).unwrap();
                assert!(count > 0, "the call ended within its head");
                request.extend(&piece[..count]);
            }
            stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").unwrap();
            String::from_utf8(request).unwrap()
        });
        assert_eq!(call(address, "POST", "/-/quit").unwrap(), 202);
        assert!(server.join().unwrap().starts_with("POST /-/quit HTTP/1.1\r\nHost: 127.0.0.1:"));
    }
}
