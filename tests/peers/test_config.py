"""Owns: a faulty configuration is refused with every fault at once, and no value of it is quoted."""

import subprocess

import pytest

from harness import ENV, binary, free_port

FAULTY = """\
role: sidekick
rol: hub
proxy:
  listen: ["nowhere"]
  propogation: off
cloudwatch: { interval: 60 }
otlp: { protocol: carrier-pigeon }
alerts:
  rules: ["/not/there.yaml"]
  receivers:
    - { name: hook, webhook: { url: "hunter2" } }
"""
FAULTS = [  # (line, path, a word that says what would be right)
    (1, "role", "hub"),
    (2, "rol", "role"),
    (4, "proxy.listen", None),
    (5, "proxy.propogation", "propagation"),
    (6, "cloudwatch.interval", "60s"),
    (7, "otlp.protocol", "grpc"),
    (9, "alerts.rules", "cannot be read"),
    (11, "alerts.receivers[0].webhook.url", "http"),
]


def run(*arguments, env=None):
    return subprocess.run([binary(), *arguments], env={**ENV, **(env or {})}, text=True,
                          capture_output=True, timeout=20, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("command", ["run", "check"])
def test_all_faults_at_once(tmp_path, command):
    path = tmp_path / "kinescope.yaml"
    path.write_text(FAULTY)
    done = run(command, "--config", path)
    said = done.stdout + done.stderr
    assert done.returncode == 64, said
    lines = said.splitlines()
    for number, key, right in FAULTS:
        told = [line for line in lines if key in line and f":{number}:" in line]
        assert told, f"nothing about {key} in line {number}:\n{said}"
        assert right is None or right in told[0], told
    assert "hunter2" not in said and "carrier-pigeon" not in said and "panicked" not in said


@pytest.mark.parametrize("text", ["{", "a: b: c", "\t- x", "\x00", "- 1"])
def test_what_is_no_configuration_at_all(tmp_path, text):
    path = tmp_path / "kinescope.yaml"
    path.write_text(text)
    done = run("run", "--config", path)
    assert done.returncode == 64 and "kinescope.yaml" in done.stderr + done.stdout


def test_a_file_that_is_not_there():
    assert run("run", "--config", "/not/there.yaml").returncode == 64


def test_an_unknown_flag():
    assert run("run", "--colour").returncode == 64


def test_a_faulty_variable(tmp_path):
    done = run("check", env={"KINESCOPE_PROXY__PROPAGATION": "hunter2"})
    said = done.stdout + done.stderr
    assert done.returncode == 64 and "proxy.propagation" in said and "hunter2" not in said


def test_check_of_a_good_one(tmp_path):
    path = tmp_path / "kinescope.yaml"
    path.write_text("service: { name: inventory }\nregion: us-east-1\n")
    assert run("check", "--config", path).returncode == 0


def test_an_address_in_use_is_a_fault_not_a_bad_configuration(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = tmp_path / "kinescope.yaml"
        path.write_text(f"region: us-east-1\nproxy: {{ listen: ['127.0.0.1:{taken.getsockname()[1]}'] }}\n"
                        f"admin: {{ listen: ['127.0.0.1:{free_port()}'] }}\n")
        assert run("run", "--config", path).returncode == 1
