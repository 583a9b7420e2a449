//! Owns the front door: arguments -> app -> exit code. Refuses everything else.

use kinescope::app::commands;
use kinescope::io::memory;
use std::process::ExitCode;

/// A put makes a few dozen small allocations and a large one or two: with the C library's allocator
/// they were an eighth of its CPU.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before the heap grows.
    memory::in_small_pages();
    // One TLS stack for the whole process. Only a provider installed earlier can refuse.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    commands::main(std::env::args_os(), commands::environment())
}
