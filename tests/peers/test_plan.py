"""Owns: `kinescope plan` as a script and a person meet it. Its dollars are reckoned again here, from the
prices that it prints. And what the status page says of the traffic that passed."""

import json
import math
import subprocess

import pytest
import yaml

from harness import ENV, Boto3, binary, wait_for
from upstream import SHARD

HOURS, GB = 730, 2**30


def plan(*arguments, code=0):
    done = subprocess.run([binary(), "plan", *(str(argument) for argument in arguments)], capture_output=True,
                          text=True, env=ENV, timeout=20)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def reckoned(prices, rate, peak, size, consumers, fan_out, hours):
    """A month of provisioned and of on-demand standard, in words of the price list."""
    shards = max(1, math.ceil(peak * size / 2**20), math.ceil(peak / 1000), math.ceil(peak * size * consumers / 2**21))
    volume = rate * size * 3600 * HOURS / GB
    billed = rate * math.ceil(size / 1024) * 1024 * 3600 * HOURS / GB
    kept = rate * size * 3600 / GB
    week, longer = max(0, min(hours, 168) - 24), max(0, hours - 168)
    provisioned = (
        shards * HOURS * prices["shard_hour"]
        + rate * 3600 * HOURS / 1e6 * math.ceil(size / 25600) * prices["put_units_million"]
        + fan_out * (shards * HOURS * prices["fan_out_shard_hour"] + volume * prices["fan_out_gb"])
        + (shards * HOURS * prices["extended_shard_hour"] if hours > 24 else 0)
        + kept * longer * prices["long_term_gb_month"]
    )
    on_demand = (
        HOURS * prices["on_demand_stream_hour"]
        + billed * prices["on_demand_in_gb"]
        + volume * (consumers * prices["on_demand_out_gb"] + fan_out * prices["on_demand_fan_out_gb"])
        + kept * (week * prices["on_demand_extended_gb_month"] + longer * prices["on_demand_long_term_gb_month"])
    )
    return shards, provisioned, on_demand


@pytest.mark.parametrize("rate, peak, size, consumers, fan_out, hours", [
    (10, 10, 100, 1, 0, 24),
    (1000, 1000, 1024, 2, 0, 24),
    (500, 9000, 2000, 3, 1, 168),
    (20000, 20000, 300, 1, 5, 48),
    (3, 30, 1_500_000, 1, 0, 8760),
    (0, 0, 1, 0, 0, 24),
])
def test_the_dollars_are_the_price_list_s(rate, peak, size, consumers, fan_out, hours):
    prices = yaml.safe_load(plan("--print-prices"))["prices"]
    shown = json.loads(plan(
        "--records-per-second", rate, "--peak-records-per-second", peak, "--record-size-bytes", size,
        "--consumers", consumers, "--fan-out-consumers", fan_out, "--hours-retained", hours, "--json"))
    shards, provisioned, on_demand = reckoned(prices, rate, peak, size, consumers, fan_out, hours)
    assert shown["shards"]["needed"] == shards
    costs = {choice["mode"]: choice["dollars_per_month"] for choice in shown["choices"] if choice["as_asked"]}
    assert costs["provisioned"] == pytest.approx(provisioned, abs=0.01)
    assert costs["on_demand"] == pytest.approx(on_demand, abs=0.01)
    assert shown["cheapest"]["dollars_per_month"] == min(costs.values())
    for choice in shown["choices"]:
        lines = sum(line["dollars_per_month"] for line in choice["lines"])
        assert lines == pytest.approx(choice["dollars_per_month"], abs=0.01 * len(choice["lines"]))


def test_prices_of_another_region(tmp_path):
    traffic = ["--records-per-second", 100, "--record-size-bytes", 1000]
    told = plan(*traffic, "--region", "eu-west-1", code=64)
    assert "eu-west-1" in told and "--prices" in told
    file = yaml.safe_load(plan("--print-prices"))
    file |= {"region": "eu-west-1", "date": "2026-01-02"}
    file["prices"]["shard_hour"] = 1.0
    del file["prices"]["on_demand_in_gb"]
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump(file))
    shown = json.loads(plan(*traffic, "--region", "eu-west-1", "--prices", tmp_path / "prices.yaml", "--json"))
    assert (shown["prices"]["region"], shown["prices"]["date"]) == ("eu-west-1", "2026-01-02")
    by_mode = {choice["mode"]: choice["dollars_per_month"] for choice in shown["choices"] if choice["as_asked"]}
    # A price that the file leaves out is not known, and neither is the cost.
    assert by_mode["provisioned"] > 730 and by_mode["on_demand"] is None
    text = plan(*traffic, "--prices", tmp_path / "prices.yaml", "--price", "on_demand_in_gb=0.09")
    assert " not known\n" not in text and "some given by --price" in text


def test_the_page_plans_for_what_was_measured(kinesis, kinescope):
    """And a refusal whose sentence names no shard is put to the one that its key belongs to."""
    upstream = kinesis()
    both = kinescope(upstream.url, role="all")
    status = lambda: json.loads(both.get("/api/v1/status")[1])  # noqa: E731
    client = Boto3(both.url, max_attempts=1)
    records = [{"Data": b"x" * 500, "PartitionKey": f"key-{n}"} for n in range(10)]
    put = lambda: client.call("PutRecords", StreamName="orders", Records=records)  # noqa: E731
    put()
    asked = lambda name: any(operation == name for operation, _, _ in upstream.requests)  # noqa: E731
    wait_for(lambda: asked("ListShards") and (status()["account"] or {}).get("on_demand_advantage"), 10, "the lists")
    assert status()["account"]["on_demand_advantage"] == "enabled"

    def measured():
        upstream.faults = [upstream.partial([3, 4])]
        assert put()["FailedRecordCount"] == 2
        return status()["plans"]["streams"]

    [plan] = wait_for(measured, 20, "ten seconds of traffic")
    assert (plan["stream"], plan["shards_needed"], plan["consumers"]) == ("orders", 1, 0)
    assert 500 < plan["record_size_bytes"] < 510
    by_mode = {choice["mode"]: choice for choice in plan["choices"]}
    # The account pays its minimum anyway, and standard's prices are none of its.
    assert by_mode["on_demand"]["impossible"] and by_mode["on_demand_advantage"]["dollars_per_month"] < 100
    [load] = status()["loads"]
    [shard] = load["shards"]
    assert shard["shard"] == SHARD and shard["throttled_per_second"] > 0
    page = both.get("/")[1]
    assert "Capacity and cost" in page and "The account pays for on-demand advantage" in page
    assert "to be checked" in page
