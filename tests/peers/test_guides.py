"""Owns: the guides say what happens. Their blocks marked `sh guide` are run in their order by one shell, in
an empty folder with an empty environment, and print what stands in the `text` block behind them, where
`…` is anything. What needs a cluster or AWS is held to the tools of those worlds. Only addresses differ
from what is written: tests run side by side."""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import textwrap

import pytest
import yaml

from harness import PEERS, ROOT, binary, free_port, missing, wait_for
from prometheus import tool

FOLDER = ROOT / "docs/guides"
GUIDES = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*-*.md"))}
BLOCK = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.M | re.S)
AT_MOST = 120


def blocks(text):
    """(what it is, what it says) of each block."""
    return [(kind, textwrap.dedent(body)) for _, kind, body in BLOCK.findall(text)]


def marked(kind, texts=None):
    return [(name, body) for name, text in (texts or GUIDES).items() for found, body in blocks(text) if found == kind]


def steps(text):
    """[(what is typed, what is shown of its output or nothing)]."""
    found = []
    for kind, body in blocks(text):
        if kind == "sh guide":
            found.append([body, None])
        elif kind == "text" and found and found[-1][1] is None:
            found[-1][1] = body
    return found


def whole(name):
    """A guide's steps, behind those of the place to try if it sends its reader there."""
    text = GUIDES[name]
    place = steps((FOLDER / "README.md").read_text()) if "README.md#a-place-to-try" in text else []
    return place + steps(text)


def pattern(shown):
    """`…` is anything within a line; alone in one, any number of lines."""
    line = lambda text: r"(?:.*\n)*?" if text.strip() == "…" else re.escape(text).replace("…", ".*") + "\n"
    return "".join(line(text) for text in shown.splitlines())


def says(shown, printed):
    return re.fullmatch(pattern(shown), printed if printed.endswith("\n") else printed + "\n") is not None


class Followed:
    """A guide as it was followed: [(typed, shown, exit code, printed)], and where it stopped."""

    def __init__(self, name, folder, upstream):
        folder.mkdir()
        # Only what is said here; the emulator tells accounts apart by the key, so that guides meet no other's streams.
        given = {"127.0.0.1:4566": upstream, "=test ": f"={free_port():012} ",
                 **{f"127.0.0.1:{port}": f"127.0.0.1:{free_port()}" for port in (4590, 9590)}, "8088": str(free_port())}
        self.given = given
        ports = {"PROXY__LISTEN": given["127.0.0.1:4590"], "ADMIN__LISTEN": given["127.0.0.1:9590"]}
        aws = PEERS / "clients/bin"
        env = {"PATH": f"{binary().parent}:{aws}:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8",
               **{f"KINESCOPE_{key}": value for key, value in ports.items()}}
        self.steps, script = whole(name), ""
        for place, (typed, _) in enumerate(self.steps):
            for written, here in given.items():
                typed = typed.replace(written, here)
            script += f"{{ {typed}\n}} > step-{place} 2>&1 || {{ echo $? > failed-{place}; exit 1; }}\n"
        shell = shutil.which("bash")
        self.process = subprocess.Popen([shell, "-o", "pipefail", "-c", script], cwd=folder, env=env,
                                        stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            self.code = self.process.wait(AT_MOST)
        except subprocess.TimeoutExpired:
            self.code = f"not done after {AT_MOST} s"
        self.left = self._leaves()
        self.printed = [self._read(folder / f"step-{place}") for place in range(len(self.steps))]
        self.log = self._read(folder / "kinescope.log") or ""

    def _leaves(self):
        """Whether a program of the guide's session is there when it has had time to end."""
        try:
            wait_for(lambda: not self._signalled(0), 15 if self.code == 0 else 0.1, "the end of what was started")
        except AssertionError:
            return self._signalled(signal.SIGKILL)
        return False

    def _signalled(self, number):
        try:
            os.killpg(self.process.pid, number)
            return True
        except ProcessLookupError:
            return False

    def _read(self, path):
        if not path.exists():
            return None
        text = path.read_text()
        for written, here in self.given.items():
            text = text.replace(here, written)
        return text


@pytest.fixture(scope="module")
def followed(ministack, tmp_path_factory):
    """Every guide, side by side: most of their time they wait."""
    if not (PEERS / "clients/bin/aws").exists():
        missing("the AWS CLI")
    folder, upstream = tmp_path_factory.mktemp("guides"), ministack.url.removeprefix("http://")
    with concurrent.futures.ThreadPoolExecutor(len(GUIDES)) as pool:
        runs = {name: pool.submit(Followed, name, folder / name, upstream) for name in GUIDES}
        return {name: run.result() for name, run in runs.items()}


@pytest.mark.parametrize("name", GUIDES)
def test_word_by_word(followed, name):
    run = followed[name]
    assert run.steps, f"{name} has nothing to follow"
    for (typed, shown), printed in zip(run.steps, run.printed):
        assert printed is not None, f"was not reached, exit {run.code}:\n{typed}\n{run.log}"
        if shown is not None:
            assert says(shown, printed), f"{typed}\nshould print\n{shown}\nbut printed\n{printed}\n{run.log}"
    assert run.code == 0, f"exit {run.code}: {run.printed[-1]}\n{run.log}"
    assert not run.left, f"{name} leaves a program running"


def test_configurations_are_accepted(tmp_path):
    found = marked("yaml kinescope")
    assert len(found) >= 2
    for place, (name, body) in enumerate(found):
        path = tmp_path / f"{place}.yaml"
        path.write_text(body)
        done = subprocess.run([binary(), "check", "--config", path], capture_output=True, text=True, timeout=20, env={})
        assert done.returncode == 0, f"{name}: {done.stderr}"


def test_manifests_are_valid(tmp_path):
    validate = PEERS / "deploy/bin/kubernetes-validate"
    if not validate.exists():
        missing("kubernetes-validate")
    for name, body in marked("yaml kubernetes"):
        manifest = yaml.safe_load(body)
        sidecar = manifest["spec"]["template"]["spec"]["initContainers"][0]
        assert sidecar["restartPolicy"] == "Always", name
        (tmp_path / "manifest.yaml").write_text(body)
        done = subprocess.run([validate, "--strict", "-k", "1.29", tmp_path / "manifest.yaml"], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0 and "WARN" not in done.stdout, done.stdout + done.stderr


def test_queries_are_read_by_prometheus(tmp_path):
    found = marked("promql")
    assert len(found) >= 5
    rules = [{"record": f"guide:{place}", "expr": body} for place, (_, body) in enumerate(found)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "guides", "rules": rules}]}))
    done = subprocess.run([tool("promtool"), "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_readme_says_how_to_begin(kinescope, ministack):
    """README's own first step: the variable, and the flag where it is not read."""
    listed = [body for kind, body in blocks((ROOT / "README.md").read_text()) if kind == "sh"]
    (export,) = [body for body in listed if body.startswith("export AWS_ENDPOINT_URL_KINESIS")]
    (flag,) = [body for body in listed if "aws kinesis list-streams" in body]
    sidecar = kinescope(ministack.url)
    aws = PEERS / "clients/bin"
    if not (aws / "aws").exists():
        missing("the AWS CLI")
    env = {"PATH": f"{aws}:/usr/bin:/bin", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
           "AWS_DEFAULT_REGION": "us-east-1"}
    script = f"{export}aws kinesis list-streams --max-items 1\nunset AWS_ENDPOINT_URL_KINESIS\n{flag}"
    script = script.replace("http://127.0.0.1:4590", sidecar.url)
    done = subprocess.run(["/bin/bash", "-e", "-c", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    listings = sidecar.metrics().all("kinescope_proxy_requests_total", operation="ListStreams", outcome="ok")
    assert sum(value for _, value in listings) >= 2


def test_what_is_anything():
    assert says("a…c\n", "abc\n") and says("…\nb\n", "x\ny\nb\n") and says("a\n…\n", "a")
    assert not says("a…c\n", "a\nc\n") and not says("a.c\n", "abc\n") and not says("a\n", "a\nb\n")
