"""Owns: what is under deploy/ is what the tools of its own world accept, every configuration in it
passes `kinescope check`, and what can run here does: the image, the compose file's clients. There is
no cluster, no Docker and no AWS here."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tarfile
import threading

import botocore.session
import botocore.validate
import pytest
import yaml

from harness import ENV, PEERS, ROOT, Program, binary, missing, wait_for

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/kinescope"
KUSTOMIZED = ["overlays/native", "overlays/classic", "hub", "monitoring", "network-policy"]
RULES = ROOT / "alerts/kinescope.rules.yml"
HAS_RULES = RULES.exists() and RULES.stat().st_size > 0

# The oldest with native sidecars, and the newest that the validator knows.
VERSIONS = ["1.29", "1.37"]

# A release with everything in it; the rules are there as soon as the repository has them.
EVERYTHING = {
    "podMonitor.enabled": "true", "dashboards.enabled": "true", "networkPolicy.enabled": "true",
    "sidecar.enabled": "true", "hub.persistence.enabled": "true", "hub.secret": "receivers",
    **({"prometheusRule.enabled": "true"} if HAS_RULES else {}),
}

INJECTOR = {"hub.enabled": "false", "injector.enabled": "true", "injector.certificate.certManager": "true"}


def tool(path, peer):
    found = PEERS / path
    return found if found.exists() else missing(peer)


def ran(*command, stdin="", env=None, cwd=ROOT):
    """What a program said; an assertion if it was not content."""
    done = subprocess.run([str(part) for part in command], input=stdin, text=True, cwd=cwd,
                          env={**ENV, **(env or {})}, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def helm(*arguments):
    return ran(tool("tools/helm/helm", "helm"), *arguments)


def rendered(values=None, *, chart=CHART, release="kinescope", version="1.31.0"):
    given = itertools.chain.from_iterable(("--set", f"{name}={value}") for name, value in (values or {}).items())
    return helm("template", release, chart, "--namespace", "kinescope", "--kube-version", version, *given)


def kustomized(folder):
    return ran(tool("tools/kubectl/kubectl", "kubectl"), "kustomize", DEPLOY / "kubernetes" / folder)


def prometheus_rule():
    return ran(DEPLOY / "kubernetes/monitoring/prometheus-rule.sh") if HAS_RULES else ""


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def all_manifests():
    """(where it comes from, YAML) of everything that can be rendered."""
    yield from ((folder, kustomized(folder)) for folder in KUSTOMIZED)
    yield "the chart", rendered()
    yield "the chart with everything", rendered(EVERYTHING)
    yield "the rules", prometheus_rule()


@pytest.fixture(scope="module")
def manifests():
    return dict(all_manifests())


def pods(text):
    """(name, pod spec) of each workload."""
    for document in documents(text):
        if document["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def sidecar(pod):
    return next(container for container in containers(pod) if container["name"] == "kinescope")


def check(text, folder, name="kinescope.yaml"):
    """`kinescope check` of a configuration; what it said."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return ran(binary(), "check", "--config", folder / name)


# ---- Kubernetes --------------------------------------------------------------------------------


def test_everything_is_valid_kubernetes(manifests, tmp_path):
    validate = tool("deploy/bin/kubernetes-validate", "kubernetes-validate")
    whole = [document for text in manifests.values() for document in documents(text)]
    # It knows no custom resources; those have a test of their own. Nor has one of two dashboards more to say.
    own = [document for document in whole if not document["apiVersion"].startswith("monitoring.coreos.com/")
           and "dashboard" not in document["metadata"]["name"]]
    assert len(own) > 15
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(own))
    for version in VERSIONS:
        said = ran(validate, "--strict", "-k", version, tmp_path / "all.yaml")
        assert "WARN" not in said, said


def test_the_injector_is_valid_kubernetes(tmp_path):
    validate = tool("deploy/bin/kubernetes-validate", "kubernetes-validate")
    text = kustomized("injector")
    assert "MutatingWebhookConfiguration" in text
    (tmp_path / "injector.yaml").write_text(text)
    for version in VERSIONS:
        said = ran(validate, "--strict", "-k", version, tmp_path / "injector.yaml")
        assert "WARN" not in said, said


def test_a_planted_fault_is_found(manifests, tmp_path):
    validate = tool("deploy/bin/kubernetes-validate", "kubernetes-validate")
    text = manifests["overlays/native"].replace("restartPolicy: Always", "restartPolicyy: Always")
    assert text != manifests["overlays/native"]
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(AssertionError, match="restartPolicyy"):
        ran(validate, "--strict", "-k", VERSIONS[0], tmp_path / "broken.yaml")


def test_pods_are_restricted(manifests):
    """Pod security's level `restricted`, as its standard lists it."""
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
               "secret"}
    seen = 0
    for name, pod in itertools.chain.from_iterable(map(pods, [*manifests.values(), rendered(INJECTOR)])):
        of_pod = pod.get("securityContext", {})
        assert all(set(volume) - {"name"} <= allowed for volume in pod.get("volumes", [])), name
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name
        for container in containers(pod):
            seen += 1
            own = container["securityContext"]
            about = f"{name}/{container['name']}"
            assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]}, about
            assert own.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is True, about
            assert own.get("runAsUser", of_pod.get("runAsUser")) != 0, about
            profile = own.get("seccompProfile", of_pod.get("seccompProfile"))
            assert profile == {"type": "RuntimeDefault"}, about
            assert not any("hostPort" in port for port in container.get("ports", [])), about
            if container["name"] in ("kinescope", "injector"):
                assert own["readOnlyRootFilesystem"] is True, about
    assert seen >= 8


def mebibytes(quantity):
    return int(re.fullmatch(r"(\d+)Mi", quantity)[1])


def test_configurations_pass_and_fit_their_memory(manifests, tmp_path):
    """Each ConfigMap's configuration is Kinescope's, and its pod's limit is over what its bounds allow."""
    checked = 0
    for where, text in manifests.items():
        whole = documents(text)
        limits = [mebibytes(sidecar(pod)["resources"]["limits"]["memory"]) for _, pod in pods(text)]
        for document in whole:
            if document["kind"] == "ConfigMap" and "kinescope.yaml" in document["data"]:
                said = check(document["data"]["kinescope.yaml"], tmp_path)
                bound = int(re.search(r"memory at most +(\d+) MiB", said)[1])
                assert all(bound < limit for limit in limits), f"{where}: {bound} MiB in {limits} MiB"
                checked += 1
    assert checked >= 6
    ecs = json.loads((DEPLOY / "ecs/task-definition.json").read_text())["containerDefinitions"][0]
    said = ran(binary(), "check", env={entry["name"]: entry["value"] for entry in ecs["environment"]})
    assert int(re.search(r"memory at most +(\d+) MiB", said)[1]) < ecs["memory"]
    assert "hub             http://kinescope-hub.internal:4595" in said


def test_what_refers_to_something_finds_it(manifests):
    for where, text in manifests.items():
        named = {(document["kind"], document["metadata"]["name"]) for document in documents(text)}
        for name, pod in pods(text):
            mounted = {volume["name"] for volume in pod.get("volumes", [])}
            for volume in pod.get("volumes", []):
                if "configMap" in volume:
                    assert ("ConfigMap", volume["configMap"]["name"]) in named, f"{where}: {name}"
                if "persistentVolumeClaim" in volume:
                    assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in named
            for container in containers(pod):
                assert {mount["name"] for mount in container.get("volumeMounts", [])} <= mounted, f"{where}: {name}"
            assert ("ServiceAccount", pod["serviceAccountName"]) in named, f"{where}: {name}"
        for service in (document for document in documents(text) if document["kind"] == "Service"):
            ports = {port["name"] for _, pod in pods(text) for port in sidecar(pod)["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_sidecars_start_first_and_end_last(manifests):
    (_, native), = pods(manifests["overlays/native"])
    assert [container["name"] for container in native["containers"]] == ["orders"]
    assert sidecar(native)["restartPolicy"] == "Always"
    assert sidecar(native)["startupProbe"]["exec"]["command"] == ["kinescope", "probe"]
    (_, classic), = pods(manifests["overlays/classic"])
    assert [container["name"] for container in classic["containers"]] == ["kinescope", "orders"]
    assert "initContainers" not in classic
    for pod in (native, classic):
        assert "readinessProbe" not in sidecar(pod), "a sidecar in trouble must not take its pod out of service"
        application = next(container for container in pod["containers"] if container["name"] == "orders")
        endpoint = {entry["name"]: entry["value"] for entry in application["env"]}["AWS_ENDPOINT_URL_KINESIS"]
        assert endpoint == "http://127.0.0.1:4590"


@pytest.mark.parametrize("form", ["native", "classic"])
def test_the_component_attaches_to_what_is_labelled_and_nothing_else(form, tmp_path):
    def workload(kind, name, labels):
        group = "batch/v1" if kind == "Job" else "apps/v1"
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "own", "image": "own:1"}]}}
        return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "labels": labels},
                "spec": {"template": template}}

    attached = {"Deployment": "web", "StatefulSet": "log", "DaemonSet": "node", "Job": "once"}
    own = [workload(kind, name, {"kinescope": "sidecar"}) for kind, name in attached.items()]
    own.append(workload("Deployment", "other", {}))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump_all(own))
    component = os.path.relpath(DEPLOY / "kubernetes/sidecar" / form, tmp_path)
    (tmp_path / "kustomization.yaml").write_text(
        json.dumps({"namespace": "own", "resources": ["own.yaml"], "components": [component]}))
    text = ran(tool("tools/kubectl/kubectl", "kubectl"), "kustomize", tmp_path)
    found = {name: [container["name"] for container in containers(pod)] for name, pod in pods(text)}
    assert found == {**{name: ["kinescope", "own"] for name in attached.values()}, "other": ["own"]}
    kinds = {document["metadata"]["name"]: document["kind"] for document in documents(text)}
    assert {name: kinds[name] for name in attached.values()} == {name: kind for kind, name in attached.items()}


def test_the_lifecycle_commands_of_the_manifests_exist(manifests):
    """Each command that a manifest runs is one that the program takes."""
    commands = {("kinescope", "probe")}
    for _, pod in itertools.chain.from_iterable(map(pods, manifests.values())):
        hooks = sidecar(pod).get("lifecycle", {}).values()
        commands |= {tuple(hook["exec"]["command"]) for hook in hooks}
        assert sidecar(pod)["args"] == ["run", "--config", "/etc/kinescope/kinescope.yaml"]
    assert len(commands) == 3
    for _, *arguments in commands:
        arguments = [re.sub(r"^\d+s$", "1s", argument) for argument in arguments]
        done = subprocess.run([binary(), *arguments], env={**ENV, "KINESCOPE_ADMIN__LISTEN": "127.0.0.1:9"},
                              capture_output=True, text=True, timeout=30)
        # Nobody is there to be asked: a fault, but not one of the arguments (64).
        assert done.returncode == 1, f"{arguments}: {done.stderr}"


def test_prometheus_finds_every_pod(manifests):
    """The PodMonitors' selectors and ports are those of the pods, and of the policies that let them in."""
    monitors = [document for text in manifests.values() for document in documents(text)
                if document["kind"] == "PodMonitor"]
    assert len(monitors) == 2
    for monitor in monitors:
        expression, = monitor["spec"]["selector"]["matchExpressions"]
        port = monitor["spec"]["podMetricsEndpoints"][0]["port"]
        for text in manifests.values():
            for document in documents(text):
                if document["kind"] == "Deployment":
                    template = document["spec"]["template"]
                    assert template["metadata"]["labels"][expression["key"]] in expression["values"]
                    ports = {entry["name"]: entry["containerPort"] for entry in sidecar(template["spec"])["ports"]}
                    assert ports[port] == 9590
                if document["kind"] == "NetworkPolicy":
                    kinds = document["spec"]["podSelector"]["matchLabels"]
                    assert kinds[expression["key"]] in expression["values"]


def test_rules_are_put_into_the_operators_envelope(tmp_path):
    rules = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up == 0", "for": "1m"}]}]}
    (tmp_path / "rules.yml").write_text("# a comment\n---\n" + yaml.safe_dump(rules))
    document, = documents(ran(DEPLOY / "kubernetes/monitoring/prometheus-rule.sh", tmp_path / "rules.yml"))
    assert document["kind"] == "PrometheusRule" and document["spec"] == rules
    with pytest.raises(AssertionError, match="there is no"):
        ran(DEPLOY / "kubernetes/monitoring/prometheus-rule.sh", tmp_path / "none.yml")


def test_the_operators_types_accept_its_resources(manifests, tmp_path):
    """By the compiler, which refuses unknown fields, and by the operator's own patterns."""
    tools, node = tool("tools/node_modules", "@kubernetes-models/prometheus-operator"), shutil.which("node")
    tsc = tool("npm/node_modules/typescript/bin/tsc", "typescript")
    found = [document for text in manifests.values() for document in documents(text)
             if document["apiVersion"].startswith("monitoring.coreos.com/")]
    assert {document["kind"] for document in found} >= {"PodMonitor"}
    (tmp_path / "node_modules").symlink_to(tools)
    package = "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"

    broken = json.loads(json.dumps(found[0]))
    broken["spec"]["podMetricsEndpoints"][0]["intervall"] = "15s"
    typed, plain = [], []
    for at, resource in enumerate([*found, broken]):
        kind = resource["kind"]
        given = {key: value for key, value in resource.items() if key not in ("apiVersion", "kind")}
        head = f'import {{ {kind} as K{at} }} from "{package}/{kind}";'
        expected = "// @ts-expect-error: the planted fault\n" if resource is broken else ""
        typed += [head, f"{expected}new K{at}({json.dumps(given)});"]
        plain += [head, f"new K{at}({json.dumps(given)}).validate();"]
    (tmp_path / "resources.mts").write_text("\n".join(typed))
    ran(node, tsc, "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022",
        "resources.mts", cwd=tmp_path)
    (tmp_path / "resources.mjs").write_text("\n".join(plain))
    ran(node, "resources.mjs", cwd=tmp_path)


# ---- Helm --------------------------------------------------------------------------------------


def test_the_chart_lints_and_its_values_have_a_schema():
    helm("lint", "--strict", CHART)
    schema = json.loads((CHART / "values.schema.json").read_text())
    ran(tool("deploy/bin/python", "jsonschema"), "-c",
        "import json, sys, jsonschema; jsonschema.Draft7Validator.check_schema(json.load(sys.stdin))",
        stdin=json.dumps(schema))
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values.keys() | {"global"} == schema["properties"].keys()
    assert all(values[part].keys() == schema["properties"][part]["properties"].keys()
               for part in values if isinstance(values[part], dict))


@pytest.mark.parametrize("values, message", [
    ({"hub.enabledd": "true"}, "enabledd"),
    ({"image.tag": ""}, "/image/tag"),
    ({"hub.replicas": "0"}, "/hub/replicas"),
    ({"hub.config.role": "sidecar"}, "/hub/config"),
    ({"image.pullPolicy": "Sometimes"}, "/image/pullPolicy"),
    ({"hub.resources.limits.memory": "lots"}, "/hub/resources/limits/memory"),
    ({"podMonitor.interval": "soon"}, "/podMonitor/interval"),
])
def test_wrong_values_are_refused(values, message):
    with pytest.raises(AssertionError, match=message):
        rendered(values)


def test_versions_agree():
    crate = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == values["image"]["tag"] == crate
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix in (".yaml", ".json") and "helm" not in path.parts:
            tags = re.findall(r"kinescope:(\d+\.\d+\.\d+)", path.read_text())
            assert set(tags) <= {crate}, path


def test_the_hub_alone_is_the_default(manifests):
    kinds = sorted(document["kind"] for document in documents(manifests["the chart"]))
    assert kinds == ["ConfigMap", "Deployment", "Service", "ServiceAccount"]
    everything = documents(manifests["the chart with everything"])
    boards = {name: json.loads(text) for document in everything if document["kind"] == "ConfigMap"
              for name, text in document["data"].items() if name.endswith(".json")}
    there = {f"kinescope-{path.name}": json.loads(path.read_text()) for path in (ROOT / "dashboards").glob("*.json")}
    assert boards == there


def test_several_hubs_split_the_streams_and_one_hears_the_sidecars(tmp_path):
    text = rendered({"hub.replicas": "3", "hub.persistence.enabled": "true"})
    by_kind = {document["kind"]: document for document in documents(text)}
    assert by_kind.keys() == {"ConfigMap", "ServiceAccount", "Service", "StatefulSet"}
    hubs = by_kind["StatefulSet"]
    assert hubs["spec"]["replicas"] == 3 and hubs["spec"]["serviceName"] == by_kind["Service"]["metadata"]["name"]
    assert [claim["metadata"]["name"] for claim in hubs["spec"]["volumeClaimTemplates"]] == ["state"]
    assert by_kind["Service"]["spec"]["selector"]["statefulset.kubernetes.io/pod-name"] == "kinescope-hub-0"
    config = yaml.safe_load(by_kind["ConfigMap"]["data"]["kinescope.yaml"])
    assert config["hub"] == {"replicas": 3} and config["region"] == "us-east-1"
    (tmp_path / "hubs.yaml").write_text(text)
    validate = tool("deploy/bin/kubernetes-validate", "kubernetes-validate")
    ran(validate, "--strict", "-k", VERSIONS[0], tmp_path / "hubs.yaml")


def of_any_release(document):
    """A manifest without what each release names in its own way."""
    document = json.loads(json.dumps(document))
    document["metadata"] = {key: document["metadata"].get(key) for key in ("name", "annotations")}
    document.get("spec", {}).pop("selector", None)
    if template := document.get("spec", {}).get("template"):
        del template["metadata"]
        for container in template["spec"]["containers"]:
            container.pop("imagePullPolicy", None)
    return document


def test_the_charts_injector_is_the_kustomizations_twin(tmp_path):
    own = DEPLOY / "kubernetes/injector"
    (tmp_path / "kustomization.yaml").write_text(json.dumps({
        "namespace": "kinescope", "resources": [os.path.relpath(own, tmp_path)],
        "components": [os.path.relpath(own / "cert-manager", tmp_path)]}))
    twin = ran(tool("tools/kubectl/kubectl", "kubectl"), "kustomize", tmp_path)
    text = rendered(INJECTOR)

    def by_kind(manifests):
        return {document["kind"]: of_any_release(document) for document in documents(manifests)}

    assert by_kind(text) == by_kind(twin)
    found = {document["kind"]: document for document in documents(text)}
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert found[kind]["spec"]["selector"]["matchLabels"].items() <= labels.items(), kind
    assert found["Service"]["spec"]["selector"].items() <= labels.items()
    known = [document for document in documents(text) if not document["apiVersion"].startswith("cert-manager.io/")]
    (tmp_path / "injector.yaml").write_text(yaml.safe_dump_all(known))
    for version in VERSIONS:
        said = ran(tool("deploy/bin/kubernetes-validate", "kubernetes-validate"), "--strict", "-k", version,
                   tmp_path / "injector.yaml")
        assert "WARN" not in said, said


def test_the_charts_injector_takes_a_certificate_by_value_and_knows_the_hub(tmp_path):
    made = {"FOLDER": str(tmp_path), "SERVICE": "fleet-kinescope-injector", "NAMESPACE": "kinescope"}
    script = DEPLOY / "kubernetes/injector/certificate.sh"
    secret, authority = yaml.safe_load(ran(script, "secret", env=made)), ran(script, "ca", env=made).strip()
    text = rendered({"injector.enabled": "true", "injector.certificate.caBundle": authority, "injector.replicas": "1",
                     "injector.env.KINESCOPE_LIMITS__DRAIN": "5s", "injector.image": "registry.example/k:1"},
                    release="fleet")
    found = {(document["kind"], document["metadata"]["name"]): document for document in documents(text)}
    assert not {"PodDisruptionBudget", "Certificate"} & {kind for kind, _ in found}
    webhook, = found["MutatingWebhookConfiguration", "fleet-kinescope-injector"]["webhooks"]
    assert webhook["clientConfig"]["caBundle"] == authority == secret["data"]["tls.crt"]
    assert ("Service", webhook["clientConfig"]["service"]["name"]) in found
    pod = found["Deployment", "fleet-kinescope-injector"]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["secret"]["secretName"] == secret["metadata"]["name"]
    arguments = pod["containers"][0]["args"]
    assert {"--image=registry.example/k:1", "--env=KINESCOPE_LIMITS__DRAIN=5s",
            "--env=KINESCOPE_HUB__ENDPOINT=http://fleet-kinescope-hub.kinescope:4595"} <= set(arguments)
    assert ("Service", "fleet-kinescope-hub") in found
    # The arguments are those of the program: only the files are not there.
    done = subprocess.run([binary(), *arguments], capture_output=True, text=True, env=ENV, timeout=20)
    assert done.returncode == 64 and "/tls/tls.crt" in done.stderr, done.stderr


@pytest.mark.parametrize("mode, version, classic", [
    ("auto", "1.28.9", True), ("auto", "1.29.0", False), ("classic", "1.33.0", True), ("native", "1.29.0", False),
])
def test_the_injector_adds_what_the_cluster_can_run(mode, version, classic):
    (_, pod), = pods(rendered({**INJECTOR, "injector.mode": mode}, version=version))
    assert ("--classic" in pod["containers"][0]["args"]) is classic


@pytest.mark.parametrize("values, version, message", [
    ({"injector.certificate.certManager": "false"}, "1.31.0", "certificate.sh: `secret` prints the Secret"),
    ({"injector.certificate.caBundle": "eA=="}, "1.31.0", "certManager and caBundle are both set"),
    ({"injector.mode": "native"}, "1.28.0", "has no native sidecars, which need 1.29: set injector.mode to auto"),
    ({"injector.certificate.caBundle": "-----BEGIN"}, "1.31.0", "/injector/certificate/caBundle"),
    ({"injector.env.1A": "x"}, "1.31.0", "'1A' does not match"),
    ({"injector.failurePolicy": "ignore"}, "1.31.0", "/injector/failurePolicy"),
])
def test_an_injector_that_cannot_work_is_refused(values, version, message):
    with pytest.raises(AssertionError, match=re.escape(message)):
        rendered({**INJECTOR, **values}, version=version)


@pytest.fixture
def orders(tmp_path):
    """A chart of somebody's own that has ours as a dependency."""
    chart = tmp_path / "orders"
    shutil.copytree(DEPLOY / "helm/example", chart)
    (chart / "charts").mkdir()
    shutil.copytree(CHART, chart / "charts/kinescope", symlinks=False)
    return chart


def test_a_chart_of_ones_own_attaches_the_sidecar(orders, tmp_path):
    text = rendered(chart=orders, release="orders")
    (name, pod), = pods(text)
    assert name == "orders" and sidecar(pod)["restartPolicy"] == "Always"
    named = {document["metadata"]["name"]: document for document in documents(text) if document["kind"] == "ConfigMap"}
    mounted, = (volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume)
    check(named[mounted]["data"]["kinescope.yaml"], tmp_path)
    (tmp_path / "orders.yaml").write_text(text)
    ran(tool("deploy/bin/kubernetes-validate", "kubernetes-validate"), "--strict", "-k", VERSIONS[0],
        tmp_path / "orders.yaml")


def test_a_cluster_that_is_too_old_is_named(orders):
    with pytest.raises(AssertionError, match="has no native sidecars, which need 1.29: include kinescope.sidecar.classic"):
        rendered(chart=orders, release="orders", version="1.28.0")
    text = rendered({"classic": "true"}, chart=orders, release="orders", version="1.28.0")
    (_, pod), = pods(text)
    assert [container["name"] for container in pod["containers"]] == ["kinescope", "orders"]


# ---- AWS ---------------------------------------------------------------------------------------


def test_templates_pass_cfn_lint():
    templates = sorted((DEPLOY / "cloudformation").glob("*.yaml"))
    assert len(templates) == 3
    rendered_rules = ROOT / "alerts/cloudwatch.alarms.yml"
    if rendered_rules.exists() and rendered_rules.stat().st_size > 0:
        templates.append(rendered_rules)
    ran(tool("deploy/bin/cfn-lint", "cfn-lint"), "--", *templates)


def test_the_task_definition_is_ecs_own():
    task = json.loads((DEPLOY / "ecs/task-definition.json").read_text())
    service = botocore.session.get_session().get_service_model("ecs")
    shape = service.operation_model("RegisterTaskDefinition").input_shape
    validator = botocore.validate.ParamValidator()
    assert not validator.validate(task, shape).has_errors(), validator.validate(task, shape).generate_report()
    broken = json.loads(json.dumps(task))
    broken["containerDefinitions"][0]["healthchek"] = {}
    assert "healthchek" in validator.validate(broken, shape).generate_report()
    kinescope, orders = task["containerDefinitions"]
    assert orders["dependsOn"] == [{"containerName": "kinescope", "condition": "HEALTHY"}]
    assert kinescope["readonlyRootFilesystem"] is True and kinescope["user"] == "65532"
    assert {mount["sourceVolume"] for mount in kinescope["mountPoints"]} == {v["name"] for v in task["volumes"]}


class Intrinsic(yaml.SafeLoader):
    """Reads !Ref and the like as plain values."""


Intrinsic.add_multi_constructor("!", lambda loader, _, node: (
    loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode)
    else loader.construct_scalar(node)))


def test_every_action_is_one_of_aws_and_a_hub_has_what_it_calls():
    template = yaml.load((DEPLOY / "cloudformation/iam.yaml").read_text(), Intrinsic)
    text = (DEPLOY / "cloudformation/iam.yaml").read_text()
    actions = set(re.findall(r"\b(kinesis|cloudwatch|dynamodb|kms):([A-Z]\w+)\b", text))
    session = botocore.session.get_session()
    for service, action in actions - {("kms", "ViaService")}:
        assert action in session.get_service_model(service).operation_names, f"{service}:{action}"
    statements = template["Resources"]["Policy"]["Properties"]["PolicyDocument"]["Statement"]
    by_grade = {}
    for statement in statements:
        condition, what = (statement[0], statement[1]) if isinstance(statement, list) else ("", statement)
        actions = what["Action"] if isinstance(what["Action"], list) else [what["Action"]]
        by_grade.setdefault(condition, set()).update(actions)
    called = {"kinesis:ListStreams", "kinesis:DescribeAccountSettings", "cloudwatch:GetMetricData"}
    assert called <= by_grade["Observes"]
    assert "kinesis:DescribeStreamSummary" in by_grade[""]
    assert not any("Put" in action or "Records" in action for action in by_grade["Observes"] | by_grade[""])
    assert "kinesis:SubscribeToShard" in by_grade["FansOut"]


# ---- the image ---------------------------------------------------------------------------------


def test_the_containerfile_passes_hadolint():
    ran(tool("deploy/bin/hadolint", "hadolint"), "--failure-threshold", "info", DEPLOY / "Containerfile")


# A stand-in for a static Kinescope, with the same C library: says its arguments and whether the state
# can be written, or the address of a name.
STAND_IN = """
use std::net::ToSocketAddrs;
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments[1] == "address" {
        let found = (arguments[2].as_str(), 1).to_socket_addrs();
        return println!("{:?}", found.map(|mut all| all.next().map(|one| one.ip().to_string())));
    }
    println!("{arguments:?} {}", std::fs::write("/var/lib/kinescope/proof", "x").is_ok());
}
"""


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand-in")
    (folder / "main.rs").write_text(STAND_IN)
    rustc = shutil.which("rustc") or missing("rustc")
    ran(rustc, "-C", "target-feature=+crt-static", "-o", folder / "kinescope", folder / "main.rs",
        env={"HOME": os.environ["HOME"], **{name: value for name, value in os.environ.items() if "RUST" in name}})
    return folder / "kinescope"


@pytest.fixture(scope="module")
def static_program(stand_in):
    """A static Kinescope if one was built, else the stand-in."""
    builds = (ROOT / "target" / f"x86_64-unknown-linux-{library}/release/kinescope" for library in ("musl", "gnu"))
    return next((build for build in builds if build.exists()), stand_in)


@pytest.fixture(scope="module")
def image(static_program, tmp_path_factory):
    """(configuration, entries by name, folder with them) of the image, built by the script."""
    folder = tmp_path_factory.mktemp("image")
    buildah = tool("buildah/usr/bin/buildah", "buildah")
    libraries = [PEERS / "buildah" / below / f"{os.uname().machine}-linux-gnu" for below in ("usr/lib", "lib")]
    (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    environment = {
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)), "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs",
        "HOME": str(folder),
    }
    own = ["--root", folder / "store", "--runroot", folder / "run", "--storage-driver", "vfs"]
    # The script calls a builder by its name: this one is told where its storage and policy are.
    wrapper = folder / "buildah"
    wrapper.write_text(f'#!/bin/sh\ncommand=$1; shift\nexec {buildah} {" ".join(map(str, own))} $command '
                       f'--signature-policy {folder / "policy.json"} "$@"\n')
    wrapper.chmod(0o755)
    bundle = folder / "roots.crt"
    bundle.write_text("roots\n")
    environment |= {"BUILDER": str(wrapper), "BINARY": str(static_program), "CA_BUNDLE": str(bundle)}
    try:
        said = ran(DEPLOY / "build-image.sh", "kinescope:test", env=environment)
    except AssertionError as error:
        if re.search(r"(?i)operation not permitted|newuidmap|user namespace|cannot clone", str(error)):
            pytest.skip(f"left out: buildah may not run here: {str(error)[-200:]}")
        raise
    assert "built kinescope:test" in said
    archive = folder / "image.tar"
    ran(wrapper, "push", "kinescope:test", f"oci-archive:{archive}", env=environment)
    with tarfile.open(archive) as image:
        def read(digest):
            return image.extractfile(f"blobs/{digest.replace(':', '/')}")

        index = json.load(image.extractfile("index.json"))
        manifest = json.load(read(index["manifests"][0]["digest"]))
        config = json.load(read(manifest["config"]["digest"]))["config"]
        files, root = {}, folder / "root"
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=read(layer["digest"])) as content:
                files |= {entry.name.strip("/"): entry for entry in content}
                content.extractall(root, filter="tar", numeric_owner=True)
    return config, files, root


def within(root, *command):
    """As a runtime would run it: nothing but the image's files, and its user."""
    return ran("chroot", "--userspec=65532:65532", root, *command, env={"PATH": ENV["PATH"]})


def test_the_image_is_built_and_holds_what_it_should(image):
    config, files, root = image
    assert config["User"] == "65532:65532" and config["Entrypoint"] == ["kinescope"] and config["Cmd"] == ["run"]
    assert "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" in config["Env"]
    assert {name for name, entry in files.items() if not entry.isdir()} == {
        "etc/ssl/certs/ca-certificates.crt", "etc/nsswitch.conf", "usr/local/bin/kinescope"}
    assert files["usr/local/bin/kinescope"].mode & 0o777 == 0o755
    assert (files["var/lib/kinescope"].uid, files["var/lib/kinescope"].gid) == (65532, 65532)
    if os.geteuid() == 0:
        said = within(root, "/usr/local/bin/kinescope", "--version")
        assert "kinescope" in said and "false" not in said


def name_server(address):
    """A DNS server that gives every name this address; ends with its socket."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.77", 53))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                query, peer = listener.recvfrom(512)
                end = query.index(b"\0", 12) + 5
                wanted = query[end - 4:end - 2] == b"\0\1"  # an A record; there is no other
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address) if wanted else b""
                counts = struct.pack(">HHHH", 1, int(wanted), 0, 0)
                listener.sendto(query[:2] + b"\x81\x80" + counts + query[12:end] + answer, peer)

    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot and port 53 are root's")
def test_names_resolve_with_nothing_but_the_images_files(image, stand_in):
    """A static glibc finds names without any library: by /etc/hosts first, as pods have it, then DNS."""
    root = image[2]
    shutil.copy(stand_in, root / "usr/local/bin/stand-in")
    (root / "etc/hosts").write_text("127.0.0.8 known.kinescope.test\n")
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.77\noptions attempts:1 timeout:2\n")
    with contextlib.closing(name_server("127.0.0.9")):
        for name, address in [("known", "127.0.0.8"), ("other", "127.0.0.9")]:
            said = within(root, "/usr/local/bin/stand-in", "address", f"{name}.kinescope.test")
            assert said == f'Ok(Some("{address}"))\n', name


@pytest.mark.parametrize("installed, library, said", [
    (True, "musl", "build-image: musl (x86_64-unknown-linux-musl)"),
    (False, "gnu", "rustup target add x86_64-unknown-linux-musl"),
])
def test_the_image_has_musl_where_it_can_be_built_else_a_static_glibc(installed, library, said, tmp_path):
    """With a Rust and a musl of our own, which say what they are asked, and build nothing."""
    stubs = {"uname": "echo x86_64", "musl-gcc": "exit 1", "rustc": f"echo {tmp_path if installed else tmp_path / 'none'}",
             "cargo": f'echo "$@ $RUSTFLAGS $CC_x86_64_unknown_linux_musl" >{tmp_path}/asked; exit 1'}
    for name, does in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run([DEPLOY / "build-image.sh"], capture_output=True, text=True, timeout=30, cwd=ROOT,
                          env={"PATH": f"{tmp_path}:{ENV['PATH']}", "BUILDER": "true", "KINESCOPE_REVISION": "r"})
    assert done.returncode == 1 and said in done.stdout and "the build failed" in done.stderr, done.stdout + done.stderr
    asked = (tmp_path / "asked").read_text()
    assert f"--no-default-features --bin kinescope --target x86_64-unknown-linux-{library} " in asked
    assert ("crt-static" in asked) is (library == "gnu") and ("musl-gcc" in asked) is (library == "musl"), asked


def test_a_dynamic_program_is_refused(tmp_path):
    with pytest.raises(AssertionError, match="is not static"):
        ran(DEPLOY / "build-image.sh", env={"BINARY": str(binary()), "BUILDER": "true"})


# ---- compose -----------------------------------------------------------------------------------

COMPOSE = DEPLOY / "compose"


def test_the_compose_file_refers_to_what_is_there(tmp_path):
    compose = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    services = compose["services"]
    assert {"localstack", "kinescope", "prometheus", "alertmanager", "grafana", "jaeger"} <= services.keys()
    for name, service in services.items():
        assert re.search(r":[v\d]", service["image"]), f"{name} has no version"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (COMPOSE / source).exists(), f"{name}: {volume}"
        for other in service.get("depends_on", []):
            assert other in services, f"{name} waits for {other}"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} is open to the network"
    hosts = re.findall(r"http://([a-z]+):(\d+)", "".join(path.read_text() for path in COMPOSE.rglob("*.yaml")))
    assert hosts and {host for host, _ in hosts} <= services.keys()
    check((COMPOSE / "kinescope.yaml").read_text(), tmp_path)


def test_what_the_compose_file_mounts(tmp_path):
    """Prometheus's own word on its file, Grafana's paths, and the data source that the dashboards want."""
    config = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text())
    config["rule_files"] = [str(RULES)] if HAS_RULES else []
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    ran(tool("debian/usr/bin/promtool", "prometheus"), "check", "config", tmp_path / "prometheus.yaml")
    sources = yaml.safe_load((COMPOSE / "grafana/datasources.yaml").read_text())["datasources"]
    by_type = {source["type"]: source for source in sources}
    destination, = by_type["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination == {"name": "trace_id", "datasourceUid": by_type["jaeger"]["uid"]}
    provider, = yaml.safe_load((COMPOSE / "grafana/dashboards.yaml").read_text())["providers"]
    grafana = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]["grafana"]
    assert f"../../dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    home = pathlib.PurePath(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"] and (ROOT / "dashboards" / home.name).exists()
    route = yaml.safe_load((COMPOSE / "alertmanager.yaml").read_text())
    assert route["route"]["receiver"] in [receiver["name"] for receiver in route["receivers"]]


def test_the_compose_files_clients_work(ministack, kinescope, tmp_path):
    aws = tool("clients/bin/aws", "aws-cli")
    both = kinescope(ministack.url, {"service": {"name": "compose"}})

    def work(what, application):
        environment = {"PATH": f"{aws.parent}:{ENV['PATH']}", "AWS_PAGER": "",
                       "AWS_ENDPOINT_URL_KINESIS": f"{both.url}/app/{application}"}
        return Program(what, ["sh", COMPOSE / "work.sh", what], tmp_path, environment)

    created = work("create", "setup")
    assert created.process.wait(60) == 0, created.output()
    # Under the ministack of all tests the stream may be there already, which the script must bear.
    clients = [work("put", "orders"), work("get", "inventory")]
    try:
        wait_for(lambda: both.metrics().sum("kinesis_records_total", direction="put", verdict="injected") >= 2, 60, "puts")
        wait_for(lambda: both.metrics().all("kinesis_consumer_status", consumer="inventory"), 60, "the reader")
    finally:
        for client in clients:
            client.kill()
