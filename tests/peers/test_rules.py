"""Owns: the rules that we write for Prometheus fire and resolve there as ours do, by its promtool."""

import json
import re
import subprocess

from harness import ENV, binary
from prometheus import tool

STEP = 15
WHO = {"stream": "orders", "consumer": "mail"}
LABELS = 'region="eu-west-1",stream="orders",consumer="mail"'
STREAM = 'region="eu-west-1",stream="orders"'
STATUSES = ["ok", "lagging", "falling_behind", "stalled", "stopped", "losing_data", "unknown"]


def status_series(values):
    return {f'kinesis_consumer_status{{{LABELS},status="{status}"}}':
            [int(value == status) for value in values] for status in STATUSES}


def gauge(family, labels):
    return lambda values: {f"{family}{{{labels}}}": values}


def signal(name, who=WHO):
    return lambda value: {**who, "signals": {name: value}}


def status_line(value):
    return {**WHO, "status": value, "signals": {}}


def stretches(*parts):
    return [value for seconds, value in parts for _ in range(seconds // STEP)]


# Rule: the recorded values every 15 s, how Prometheus has them, how a recording has them.
EXACT = {
    "KinesisConsumerLagHigh": (
        stretches((60, 5), (45, 90), (60, 5), (300, 90), (300, 45), (60, 90), (300, 30)),
        gauge("kinesis_consumer_delivery_lag_seconds", LABELS + ',shard="1"'), signal("delivery_lag")),
    "KinesisConsumerLagCritical": (
        stretches((60, 0.1), (960, 0.6), (90, 0.45), (390, 0.3)),
        gauge("kinesis_consumer_retention_used_ratio", LABELS), signal("retention_used")),
    "KinesisConsumerFallingBehind": (
        stretches((60, "ok"), (750, "falling_behind"), (60, "unknown"), (450, "lagging")),
        status_series, status_line),
    "KinesisConsumerStalled": (
        stretches((60, "ok"), (300, "stalled"), (60, "stopped"), (300, "ok")), status_series, status_line),
    "KinesisConsumerStopped": (
        stretches((60, "ok"), (300, "stopped"), (120, "losing_data"), (120, "ok")),
        status_series, status_line),
    "KinesisReadThrottled": (
        stretches((60, 0), (600, 0.5), (120, 0.05), (600, 0)),
        gauge("kinesis_cloudwatch_read_throttles_per_second", STREAM),
        signal("read_throttles", {"stream": "orders"})),
    "KinesisWriteThrottled": (
        stretches((60, 0.0), (600, 0.25), (120, 0.0078125), (600, 0.0)),
        # Three quarters stored and one refused is a share of a quarter.
        lambda shares: {
            f"kinesis_cloudwatch_write_throttles_per_second{{{STREAM}}}": [share * 128 for share in shares],
            f"kinesis_cloudwatch_incoming_records_per_second{{{STREAM}}}":
                [(1 - share) * 128 for share in shares]},
        signal("write_throttles", {"stream": "orders"})),
    "KinesisHotShard": (
        stretches((60, 0.1), (600, 0.9), (120, 0.7), (600, 0.2)),
        gauge("kinesis_shard_write_utilization_ratio", STREAM + ',shard="1"'),
        signal("shard_write_utilization", {"stream": "orders", "shard": "1"})),
    "KinesisSagaStuck": (
        stretches((60, 0), (120, 2), (120, 0)),
        gauge("kinesis_sagas", 'region="eu-west-1",saga="ORDER",state="stuck"'),
        signal("sagas_stuck", {"saga": "ORDER"})),
}

# Rule: series by 15 s, and (second, how many fire).
NEARLY = {
    "KinesisDataLossImminent": (
        gauge("kinesis_consumer_time_to_data_loss_seconds", LABELS)(
            stretches((60, 9000), (300, 3000), (300, 5000), (600, 8000))),
        [(105, 0), (135, 1), (645, 1), (945, 1), (975, 0)]),
    "KinesisFreshnessBudgetBurn": (
        gauge("kinesis_consumer_delivery_lag_seconds", LABELS + ',shard="1"')(
            stretches((3600, 5), (900, 90), (5400, 5))),
        # A minute of the excess, two of `for`; half an hour until the short window is clean.
        [(3600, 0), (3720, 0), (3840, 1), (4500, 1), (9000, 0)]),
    "KinesisPutFailures": (
        {f'kinesis_put_failures_total{{{STREAM},error="X"}}':
            [0] * 40 + [n * 10 for n in range(60)] + [590] * 80,
         f'kinesis_records_total{{{STREAM},direction="put",verdict="x"}}': [n * 100 for n in range(180)]},
        [(600, 0), (1200, 1), (2600, 0)]),
    "KinescopeBypassed": (
        {f"kinesis_cloudwatch_incoming_records_per_second{{{STREAM}}}": [5] * 400,
         f'kinesis_records_total{{{STREAM},direction="put",verdict="x"}}':
            [n * 10 for n in range(80)] + [790] * 240 + [790 + n * 10 for n in range(80)]},
        [(1200, 0), (2900, 0), (3200, 1), (4900, 0)]),
    "KinescopeCloudWatchFailing": (
        {'kinescope_cloudwatch_last_success_timestamp_seconds{job="cloudwatch"}':
            [n * STEP for n in range(40)] + [600] * 80 + [1800] * 40},
        [(600, 0), (1170, 0), (1230, 1), (1830, 0)]),
    "KinescopeNotificationFailing": (
        {'kinescope_notifications_total{receiver="hook",outcome="retried"}':
            [0] * 20 + list(range(40)) + [39] * 60,
         'kinescope_notifications_total{receiver="hook",outcome="delivered"}': [0] * 60 + [1] * 60},
        [(300, 0), (600, 1), (960, 0)]),
}


def kinescope(*arguments):
    done = subprocess.run([binary(), "rules", *map(str, arguments)], text=True, capture_output=True,
                          timeout=60, env={**ENV, "AWS_REGION": "eu-west-1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def promtool(*arguments):
    done = subprocess.run([tool("promtool"), *map(str, arguments)], text=True, capture_output=True,
                          timeout=60, env=ENV)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def count(rule):
    # The burns over days, which have the same name, are warnings.
    severity = ',severity="critical"' if rule == "KinesisFreshnessBudgetBurn" else ""
    return f'count(ALERTS{{alertname="{rule}",alertstate="firing"{severity}}}) or vector(0)'


def block(rule, series, expected):
    """One test of promtool: these series, and how many of the rule's alerts fire at which second."""
    return {
        "interval": f"{STEP}s",
        "input_series": [{"series": name, "values": " ".join(map(str, values))}
                         for name, values in series.items()],
        "promql_expr_test": [
            {"expr": count(rule), "eval_time": f"{second}s",
             "exp_samples": [{"labels": "{}", "value": firing}]} for second, firing in expected],
    }


def ours(tmp_path, rule, values, line):
    """[(second, firing)] of the rule when our own engine lives through the values."""
    recording = tmp_path / f"{rule}.jsonl"
    recording.write_text("".join(
        json.dumps({"at": n * STEP, **line(value)}) + "\n" for n, value in enumerate(values)))
    told = re.findall(rf"^1970-01-01T(\d\d):(\d\d):(\d\d)\.\d+Z (firing|resolved)\s+{rule}\{{",
                      kinescope("--replay", recording), re.MULTILINE)
    return [(int(h) * 3600 + int(m) * 60 + int(s), state == "firing") for h, m, s, state in told]


def test_prometheus_takes_the_file(tmp_path):
    rules = tmp_path / "kinescope.rules.yml"
    rules.write_text(kinescope("--format", "prometheus"))
    assert "SUCCESS" in promtool("check", "rules", rules)


def test_every_rule_fires_and_resolves_in_prometheus_as_here(tmp_path):
    text = kinescope("--format", "prometheus")
    rules = tmp_path / "kinescope.rules.yml"
    rules.write_text(text)
    fits = dict(re.findall(r"# (Kin\w+): (exact|nearly|left out)", text))
    assert {name for name, fit in fits.items() if fit == "exact"} == set(EXACT)
    assert {name for name, fit in fits.items() if fit == "nearly"} == set(NEARLY)
    tests = [block(rule, series, expected) for rule, (series, expected) in NEARLY.items()]
    for rule, (values, series, line) in EXACT.items():
        told = ours(tmp_path, rule, values, line)
        assert [firing for _, firing in told] == [True, False], (rule, told)
        expected = []
        for second, firing in told:
            # Within one evaluation.
            expected += [(second - STEP, int(not firing)), (second + STEP, int(firing))]
        tests.append(block(rule, series(values), expected))
    spec = tmp_path / "tests.yml"
    spec.write_text(json.dumps({
        "rule_files": [str(rules)], "evaluation_interval": f"{STEP}s", "tests": tests}))
    promtool("test", "rules", spec)


def test_a_broken_recording_has_its_line(tmp_path):
    recording = tmp_path / "broken.jsonl"
    recording.write_text('{"at": 1, "stream": "s", "signals": {"read_throttles": 1}}\n{"at": 2}x\n')
    done = subprocess.run([binary(), "rules", "--replay", str(recording)], text=True,
                          capture_output=True, timeout=20, env=ENV)
    assert done.returncode == 64 and "broken.jsonl: line 2: " in done.stderr
