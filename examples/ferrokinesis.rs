//! Owns ferrokinesis as a peer of `tests/peers`: the library that the demo embeds, alone in a process
//! of its own, untouched by anything of ours, over HTTP/1.1 and HTTP/2 (h2c) on 127.0.0.1. Refuses to
//! tell the truth about lag: its MillisBehindLatest is 0, so whoever checks a lag asks another peer.

use ferrokinesis::store::StoreOptions;
use std::error::Error;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;

/// Long enough that a stream is seen CREATING, short enough that no test waits for it.
const CREATE_STREAM_MS: u64 = 20;
const SHARD_LIMIT: u32 = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("the port to listen on is missing")?.parse()?;
    let (app, _store) = ferrokinesis::create_app(StoreOptions {
        create_stream_ms: CREATE_STREAM_MS,
        delete_stream_ms: CREATE_STREAM_MS,
        update_stream_ms: CREATE_STREAM_MS,
        shard_limit: SHARD_LIMIT,
        ..StoreOptions::default()
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    axum::serve(listener, app).await?;
    Ok(())
}
