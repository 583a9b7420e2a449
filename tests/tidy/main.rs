//! Owns the test that reads the sources and holds them to the house rules of ARCHITECTURE.md, and
//! the tests of that test. Refuses what clippy can say: clippy.toml does that.

mod rules;
mod source;

use std::fs;
use std::path::Path;

/// Every source under `folder`, as (path with slashes under the crate's root, text).
fn sources(root: &Path, folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        #[expect(clippy::expect_used, reason = "a checkout without its sources cannot be judged")]
        let entries = fs::read_dir(root.join(&folder)).expect("the sources are readable");
        for entry in entries.flatten() {
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(name);
            } else if let Some(text) =
                name.ends_with(".rs").then(|| fs::read_to_string(entry.path()).unwrap_or_default())
            {
                found.push((name, text));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_house_is_tidy() {
    let sources = sources(Path::new(env!("CARGO_MANIFEST_DIR")), "src");
    assert!(sources.len() > 20, "only {} sources were found", sources.len());
    let faults: Vec<String> = sources
        .iter()
        .flat_map(|(file, text)| rules::judge(file, text))
        .map(|fault| fault.to_string())
        .collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Faults of `code` behind a proper first line, so that `code` begins on line 2.
fn check(file: &str, code: &str, expected: &[&str]) {
    let faults = rules::judge(file, &format!("//! Owns a planted fault.\n{code}\n"));
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected, "in {code}");
}

#[test]
fn imports_point_down() {
    check("src/io/x.rs", "use crate::domain::time::Moment;\nuse crate::wire::status;", &[]);
    check("src/main.rs", "use kinescope::app::commands;", &[]);
    check(
        "src/domain/x.rs",
        "\nuse crate::io::clock::Clock;",
        &["src/domain/x.rs:3: points up: `crate::io::clock::Clock`"],
    );
    check(
        "src/wire/x/mod.rs",
        "fn f() { crate::app::f(); }",
        &["src/wire/x/mod.rs:2: points up: `crate::app::f`"],
    );
    check(
        "src/domain/lag/x.rs",
        "use super::super::super::io::clock;\nuse super::super::time::Moment;",
        &["src/domain/lag/x.rs:2: points up: `super::super::super::io::clock`"],
    );
    check(
        "src/io/x.rs",
        "use crate::{\n    domain,\n    app::wiring,\n};",
        &[
            "src/io/x.rs:2: groups imports of the crate: one `use` a path",
            "src/io/x.rs:4: points up: `crate::app::wiring`",
        ],
    );
    check(
        "src/io/x.rs",
        "use crate::*;",
        &["src/io/x.rs:2: imports the whole crate: name what is needed"],
    );
}

#[test]
fn sealed_floors_are_sealed() {
    let sealed = |line, what: &str, path: &str| {
        format!("src/domain/x.rs:{line}: is on a sealed floor and names {what}: `{path}`")
    };
    let check = |code: &str, expected: &[String]| {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check("src/domain/x.rs", code, &expected);
    };
    let clock = "the clock (take `now: Moment`)";
    check("tokio::spawn(f());", &[sealed(2, "tokio", "tokio::spawn")]);
    check(
        "use std::{\n  fmt,\n  fs::File,\n};\nuse std::env;",
        &[sealed(4, "files", "std::fs::File"), sealed(6, "the environment", "std::env")],
    );
    check(
        "use std::net::TcpStream;",
        &[sealed(2, "sockets (core::net has the plain addresses)", "std::net::TcpStream")],
    );
    check("use std::time::Instant;", &[sealed(2, clock, "std::time::Instant")]);
    check(
        "use std::time;\nlet t = time::Instant::now();",
        &[sealed(3, clock, "time::Instant::now")],
    );
    check("let t: SystemTime = x;", &[sealed(2, clock, "SystemTime")]);
    check("rand::random()", &[sealed(2, "randomness (take it as an argument)", "rand::random")]);
    check("use std::time::Duration;\nuse core::net::IpAddr;\nlet random = 4;", &[]);
}

#[test]
fn wire_may_name_system_time_but_not_ask_it() {
    check("src/wire/x.rs", "fn at() -> SystemTime { UNIX_EPOCH }", &[]);
    check(
        "src/wire/x.rs",
        "fn at() -> SystemTime { SystemTime::now() }",
        &["src/wire/x.rs:2: is on a sealed floor and names the clock (take `now: Moment`): \
           `SystemTime::now`"],
    );
    check("src/io/clock.rs", "use std::time::SystemTime;\nSystemTime::now();", &[]);
}

#[test]
fn comments_and_strings_are_not_code() {
    for harmless in [
        "// tokio::spawn\n/* crate::io /* std::fs */ tokio */",
        "/// See [`crate::io::clock`].\nfn f() {}",
        r#"let s = "tokio::spawn \" std::fs"; let b = b"std::env";"#,
        r##"let s = r#"use crate::{io};" std::net "#; let r#type = 'x';"##,
        "fn f<'a>(quote: &'a str) -> char { '\"' }",
        r"const QUOTE: char = '\''; const E: char = 'é';",
    ] {
        check("src/domain/x.rs", harmless, &[]);
    }
    // What follows a literal is code again.
    check(
        "src/domain/x.rs",
        "let q = ('\"', 'a', \"\\\\\"); /* */\ntokio::spawn(q);",
        &["src/domain/x.rs:3: is on a sealed floor and names tokio: `tokio::spawn`"],
    );
}

#[test]
fn files_are_short_and_say_what_they_own() {
    let judge = |file: &str, text: &str| {
        rules::judge(file, text).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let mute = "src/io/x.rs:1: begins without a `//!` sentence that says what it owns";
    assert_eq!(judge("src/io/x.rs", "use std::fmt;\n//! Owns it, too late."), [mute]);
    assert_eq!(judge("src/io/x.rs", "//! TODO\n"), [mute]);
    assert_eq!(judge("src/io/x.rs", ""), [mute]);
    assert!(judge("src/lib.rs", "#![doc = include_str!(\"../ARCHITECTURE.md\")]\n").is_empty());
    let lines = |count: usize| format!("//! Owns many lines.\n{}", "\n".repeat(count - 1));
    assert!(judge("src/io/x.rs", &lines(500)).is_empty());
    assert_eq!(
        judge("src/io/x.rs", &lines(501)),
        ["src/io/x.rs:501: has 501 lines, over 500: split it"]
    );
}
