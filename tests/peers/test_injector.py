"""Owns: `kinescope injector` as an API server meets it. Every case of src/wire/admission/cases goes over
TLS; the patches are applied by somebody else's code, and the pods that come out are judged by
kubernetes-validate and, where the sidecar's variables can be read, by `kinescope check`."""

import base64
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest
import yaml

from harness import ENV, PEERS, ROOT, Program, binary, free_port, missing, wait_for

CASES = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "src/wire/admission/cases").glob("*.json"))}
MANIFESTS = ROOT / "deploy/kubernetes/injector"
SERVICE = "kinescope-injector.kinescope.svc"
HUB = "KINESCOPE_HUB__ENDPOINT=http://kinescope-hub:4595"

# The oldest with native sidecars, and the newest that the validator knows.
VERSIONS = ["1.29", "1.37"]


def tool(name):
    """One of the programs in the environment of the checkers of deploy files."""
    found = PEERS / "deploy/bin" / name
    return found if found.exists() else missing("kubernetes-validate")


def ran(*command, env=None, stdin=""):
    done = subprocess.run([str(part) for part in command], input=stdin, text=True, capture_output=True,
                          timeout=60, env={**ENV, **(env or {})})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Injector(Program):
    """`kinescope injector` with a certificate of deploy's own script."""

    def __init__(self, folder, *arguments):
        self.folder, self.port = folder, free_port()
        self.new_certificate()
        super().__init__("injector", [
            binary(), "injector", "--listen", f"127.0.0.1:{self.port}", "--certificate", folder / "tls.crt",
            "--key", folder / "tls.key", "--env", HUB, *arguments], folder)
        self.wait_until(lambda: self.call("/healthz")[0] == 200, "/healthz", 20)

    def new_certificate(self):
        """As a renewed Secret arrives: both files at once."""
        folder = self.folder / f"made-{len(list(self.folder.glob('made-*')))}"
        secret = yaml.safe_load(ran(MANIFESTS / "certificate.sh", "secret", env={"FOLDER": str(folder)}))
        patch = json.loads(ran(MANIFESTS / "certificate.sh", "patch", env={"FOLDER": str(folder)}))
        self.trusted = base64.b64decode(patch[0]["value"]).decode()
        for name in ["tls.key", "tls.crt"]:
            new = self.folder / f"{name}.new"
            new.write_bytes(base64.b64decode(secret["data"][name]))
            os.replace(new, self.folder / name)

    def call(self, path, body=None, trusted=None):
        """Status and body, for a client that trusts only this certificate for the service's name."""
        context = ssl.create_default_context(cadata=trusted or self.trusted)
        handler = urllib.request.HTTPSHandler(context=context)
        # The API server asks for the service's name wherever it finds it.
        wrap = context.wrap_socket
        context.wrap_socket = lambda sock, **known: wrap(sock, **{**known, "server_hostname": SERVICE})
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.build_opener(handler).open(request, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def review(self, review):
        status, body = self.call("/inject", json.dumps(review).encode())
        assert status == 200, body
        answer = json.loads(body)
        assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        response = answer["response"]
        assert response["uid"] == review["request"]["uid"] and response["allowed"] is True
        return response


@pytest.fixture(scope="module")
def injector(tmp_path_factory):
    program = Injector(tmp_path_factory.mktemp("injector"))
    yield program
    assert program.stop() == 0, "SIGTERM ends it"


def patch_of(response):
    return json.loads(base64.b64decode(response["patch"])) if "patch" in response else []


def patched(pod, patch, folder):
    """By the PyPI package jsonpatch, whose program reads files."""
    (folder / "pod.json").write_text(json.dumps(pod))
    (folder / "patch.json").write_text(json.dumps(patch))
    return json.loads(ran(tool("jsonpatch"), folder / "pod.json", folder / "patch.json"))


@pytest.fixture(scope="module")
def pods(injector, tmp_path_factory):
    """What becomes of the pod of every case."""
    folder = tmp_path_factory.mktemp("pods")
    reviews = {name: case["review"] for name, case in CASES.items() if name != "not-a-pod"}
    return {name: patched(review["request"]["object"], patch_of(injector.review(review)), folder)
            for name, review in reviews.items()}


def test_every_case_gets_its_patch_over_tls(injector):
    assert len(CASES) >= 16
    for name, case in CASES.items():
        response = injector.review(case["review"])
        assert patch_of(response) == case["patch"], name
        assert response["auditAnnotations"]["outcome"] == case["outcome"], name
        # What is shown is cut to the length that the API server asks for.
        assert response.get("warnings", []) == [f"kinescope: {warning}"[:250] for warning in case["warnings"]], name


@pytest.mark.parametrize("version", VERSIONS)
def test_patched_pods_are_what_kubernetes_takes(pods, version, tmp_path):
    def named(name, pod):  # as the API server does it after admission
        return {**pod, "metadata": {**pod["metadata"], "name": name}}

    path = tmp_path / "pods.yaml"
    path.write_text(yaml.safe_dump_all(named(name, pod) for name, pod in pods.items()))
    ran(tool("kubernetes-validate"), "--strict", "-k", version, path)
    # The validator sees what is wrong: a slip in the sidecar of the first pod.
    broken = named("broken", json.loads(json.dumps(pods["plain"])))
    broken["spec"]["initContainers"][0]["restartPolicyy"] = "Always"
    path.write_text(yaml.safe_dump(broken))
    judged = subprocess.run([tool("kubernetes-validate"), "--strict", "-k", version, path], capture_output=True, text=True)
    assert judged.returncode != 0 and "restartPolicyy" in judged.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_are_what_kubernetes_takes(version):
    ran(tool("kubernetes-validate"), "--strict", "-k", version, MANIFESTS / "injector.yaml", MANIFESTS / "webhook.yaml")


def test_the_manifests_name_each_other():
    webhook = yaml.safe_load((MANIFESTS / "webhook.yaml").read_text())
    _, deployment, service, _ = yaml.safe_load_all((MANIFESTS / "injector.yaml").read_text())
    asked = webhook["webhooks"][0]["clientConfig"]["service"]
    assert f"{asked['name']}.{asked['namespace']}.svc" == SERVICE
    assert service["metadata"]["name"] == asked["name"]
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    # The arguments are those of the program: only the files are not there.
    done = subprocess.run([binary(), *container["args"]], capture_output=True, text=True, env=ENV, timeout=20)
    assert done.returncode == 64 and "/tls/tls.crt" in done.stderr, done.stderr


def test_a_second_call_and_a_dry_run_change_nothing(injector, pods):
    for name, pod in pods.items():
        review = json.loads(json.dumps(CASES[name]["review"]))
        review["request"] |= {"object": pod, "dryRun": True}
        assert "patch" not in injector.review(review), name


def test_the_sidecar_takes_the_variables_that_it_is_given(pods, tmp_path):
    """A sidecar that refuses its configuration would hold up the pod."""
    checked = 0
    for name, pod in pods.items():
        sidecars = [container for containers in ("initContainers", "containers")
                    for container in pod["spec"].get(containers, []) if container["name"] == "kinescope"]
        if CASES[name]["outcome"] != "injected":
            continue
        # What comes from secrets and config maps is not here to be read.
        variables = {variable["name"]: variable.get("value", "known-in-the-cluster") for variable in sidecars[0]["env"]}
        done = subprocess.run([binary(), "check"], capture_output=True, text=True, timeout=20,
                              env={"PATH": ENV["PATH"], "HOME": str(tmp_path), **variables})
        assert done.returncode == 0, (name, done.stderr)
        checked += 1
    assert checked >= 10


def test_bad_requests_are_answered(injector):
    assert injector.call("/inject", b"{}")[0] == 400
    assert injector.call("/inject", b"\xff\xfe not json")[0] == 400
    assert injector.call("/inject", b" " * (5 << 20))[0] == 413
    assert injector.call("/inject")[0] == 405
    assert injector.call("/nothing")[0] == 404
    # And it still serves.
    assert injector.call("/healthz")[0] == 200


def test_a_renewed_certificate_is_shown(tmp_path):
    injector = Injector(tmp_path)
    before = injector.trusted
    injector.new_certificate()
    assert injector.trusted != before

    def shown():
        try:
            return injector.call("/healthz")[0] == 200
        except urllib.error.URLError:  # the old one is shown still
            return False

    wait_for(shown, 15, "the new certificate")
    # Half of a pair is no pair: the one before stays.
    (tmp_path / "tls.key").write_text("nothing")
    wait_for(lambda: "the new certificate is of no use" in injector.output() or not injector.call("/healthz"), 15,
             "the log of a refused pair")
    assert injector.call("/healthz")[0] == 200
    assert injector.stop() == 0


def test_classic_by_default_where_the_cluster_is_old(tmp_path):
    injector = Injector(tmp_path, "--classic", "--image", "registry.example/k:1")
    pod = patched(CASES["plain"]["review"]["request"]["object"], patch_of(injector.review(CASES["plain"]["review"])), tmp_path)
    sidecar, application = pod["spec"]["containers"]
    assert (sidecar["name"], sidecar["image"], application["name"]) == ("kinescope", "registry.example/k:1", "orders")
    assert "initContainers" not in pod["spec"] and "restartPolicy" not in sidecar
    assert injector.stop() == 0
