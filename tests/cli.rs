//! Owns the proof that the program itself keeps its promises: exit codes, and where it says what.

#![expect(clippy::expect_used, reason = "a test ends where it cannot go on")]

use std::process::{Command, Output};

fn kinescope(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinescope"));
    let Output { status, stdout, stderr } = command
        .env_clear()
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

#[test]
fn a_faulty_file_is_told_all_at_once() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("faulty.yaml");
    let text = "rol: hub\nproxy:\n  propagation: maybe\nadmin: { listen: [hunter2] }\n";
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("text");
    for command in ["run", "check"] {
        let variables = [("KINESCOPE_REGION", "EU")];
        let (code, out, err) = kinescope(&[command, "--config", file], &variables);
        assert_eq!((code, out.as_str()), (64, ""), "{err}");
        let expected = format!(
            "kinescope: 4 faults in the configuration\n  \
             {file}:1:1: rol: unknown key; did you mean `role`?\n  \
             {file}:3:16: proxy.propagation: should be one of: auto, off\n  \
             {file}:4:19: admin.listen[0]: should be an address and a port, such as \
             127.0.0.1:4590 or \"[::1]:4590\"\n  \
             KINESCOPE_REGION: region: should be a region's name, such as us-east-1\n"
        );
        assert_eq!(err, expected);
    }
}

#[test]
fn a_good_configuration_is_told_with_its_bound() {
    let (code, out, err) = kinescope(&["check", "--role", "hub"], &[("OTEL_SERVICE_NAME", "mail")]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("OK\n  role            hub\n  service         mail\n"), "{out}");
    assert!(out.contains("  memory at most  "), "{out}");
}

#[test]
fn exit_codes() {
    let check = |arguments: &[&str], expected| {
        let (code, _, err) = kinescope(arguments, &[]);
        assert_eq!(code, expected, "{arguments:?}: {err}");
    };
    check(&["--version"], 0);
    check(&["--help"], 0);
    check(&[], 64);
    check(&["rnu"], 64);
    check(&["wait", "--timeout", "soon"], 64);
    check(&["check", "--config", "/nowhere/at/all"], 64);
    // Port 1 of loopback: nobody listens there.
    check(&["probe", "--admin", "127.0.0.1:1"], 1);
    check(&["quit", "--admin", "127.0.0.1:1"], 1);
    check(&["wait", "--timeout", "0s", "--admin", "127.0.0.1:1"], 1);
}
