//! Owns the comparison that a Node producer sees: the AWS SDK for JavaScript putting to a TLS
//! upstream, straight and through the sidecar, which keeps the connections that the SDK does not.

use crate::figures::median;
use crate::{origin, process};
use kinescope::io::http::tls::Identity;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const ROUNDS: usize = 10;
const PUTS: usize = 400;
const AT_ONCE: usize = 4;

/// Puts per second through the sidecar against direct; not a number where Node or the SDK is
/// missing.
pub(crate) async fn compare(scratch: &Path) -> f64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/npm");
    if !folder.join("node_modules/@aws-sdk/client-kinesis").exists() {
        println!("the JavaScript SDK was left out: `make peers` installs it");
        return f64::NAN;
    }
    let Some(version) = process::version("node".as_ref(), "--version") else {
        println!("the JavaScript SDK was left out: there is no node on the PATH");
        return f64::NAN;
    };
    println!("node {version}, client-kinesis as tests/peers/package.json names it");
    let identity = Arc::new(Identity::made().expect("a certificate"));
    let roots = scratch.join("roots.pem");
    std::fs::write(&roots, identity.certificate_pem().expect("made here")).expect("a file");
    let upstream = format!("https://127.0.0.1:{}", origin::start(origin::STORED, Some(identity)));
    let port = process::free_port();
    let _sidecar =
        process::kinescope(process::OURS.as_ref(), scratch, port, &upstream, None, Some(&roots));
    crate::load::until_up(port).await;
    let sidecar = format!("http://127.0.0.1:{port}");
    let run = |endpoint: &str| {
        let output = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/proxy/puts.mjs"))
            .arg(&folder)
            .args([endpoint, &PUTS.to_string(), &AT_ONCE.to_string()])
            .env("NODE_EXTRA_CA_CERTS", &roots)
            .output()
            .expect("node starts");
        let said = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>();
        said.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    };
    let (mut direct, mut through, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        direct.push(run(&upstream));
        through.push(run(&sidecar));
        ratios.extend(through.last().zip(direct.last()).map(|(through, direct)| through / direct));
    }
    println!("puts/s: {:.0} direct, {:.0} through", median(&direct), median(&through));
    median(&ratios)
}
