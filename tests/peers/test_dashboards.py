"""Owns: the dashboards keep the rules of Grafana's linter, name nothing that does not exist, and every
expression of theirs has data on a real Prometheus that scrapes the demo. No Grafana is here to draw
them."""

import importlib.util
import json
import re
import sys
import time
import urllib.parse

import pytest

from harness import ROOT, Program, binary, wait_for
from prometheus import Prometheus

pytestmark = pytest.mark.patient

FOLDER = ROOT / "dashboards"
REFERENCE = ROOT / "docs/reference/metrics.md"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}

# Families that CONTRACT names and that a version may lack, with their labels.
PLANNED = {
    **dict.fromkeys([
        "kinesis_shard_write_utilization_ratio", "kinesis_shard_put_records_total", "kinesis_shard_put_bytes_total",
        "kinesis_cloudwatch_shard_write_throttles_per_second", "kinesis_cloudwatch_shard_read_throttles_per_second",
        "kinesis_cloudwatch_shard_iterator_age_seconds"], {"region", "stream", "shard"}),
    "kinesis_cloudwatch_fan_out_behind_seconds": {"region", "stream", "consumer"},
    "kinesis_cloudwatch_lambda_iterator_age_seconds": {"region", "function"},
    "kinesis_cloudwatch_firehose_behind_seconds": {"region", "delivery_stream"},
    "kinesis_cloudwatch_firehose_freshness_seconds": {"region", "delivery_stream", "destination"},
    "kinesis_cloudwatch_flink_behind_seconds": {"region", "application", "source"},
    "kinescope_cloudwatch_month_cost_dollars": set(),
    "kinescope_cloudwatch_budget_dollars": set(),
    "kinescope_cloudwatch_given_up": {"detail"},
    "kinescope_lease_last_success_timestamp_seconds": {"application"},
    "kinescope_lease_read_units_total": {"application"},
    "kinescope_notification_queue_length": {"receiver"},
    "kinescope_notification_oldest_seconds": {"receiver"},
}

# What the demo cannot have, and why.
NOT_IN_THE_DEMO = {
    "kinesis_queue_redelivered_records_total": "nobody reads by a queue",
    "kinesis_subscriptions_ended_total": "nobody reads by fan-out",
    "kinesis_consumer_checkpoint_lag_seconds": "there is no lease table",
    "kinesis_consumer_kcl_lag_seconds": "there is no KCL",
    "kinescope_series_left_out_total": "there are too few shards to leave any out",
    "ALERTS": "its Prometheus has no rules",
}

# What it has in some runs only.
SOMETIMES = {
    "kinesis_event_process_seconds": "its saga reports what it did, its slow reader does not",
    "kinesis_event_errors_total": "as that, and no error is among it without a poison event",
    "kinescope_sequence_clock_usable": "a hub that hears of deliveries judges it, others do not",
    "kinesis_put_failures_total": "its Kinesis throttles by chance only",
    "kinescope_proxy_resends_total": "nothing is sent twice, but by chance",
    "kinesis_consumer_time_to_catch_up_seconds": "its slow reader may catch up between two looks",
}

# Grafana's ids of units.
UNITS = {"s", "short", "none", "cps", "reqps", "Bps", "percentunit", "currencyUSD"}

# Labels that Prometheus gives, not we.
OF_THE_SCRAPE = {"job", "instance", "le", "__name__", "exported_job", "alertname", "alertstate"}

SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)?\{([^}]*)\}")
FAMILY = re.compile(r"\b(?:kinesis|kinescope)_\w+\b|\bALERTS\b")
GROUPED = re.compile(r"\bby \(([^)]*)\) \(")
PARTS = ("_bucket", "_sum", "_count")


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions():
    """(board and title, expression) of every panel and annotation."""
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"]
        for annotation in board["annotations"]["list"]:
            yield f"{name}: {annotation['name']}", annotation["expr"]


def variables(board):
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def inside(text, opening):
    """What stands between the parenthesis at `opening` and its partner."""
    depth = 0
    for at in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return text[opening + 1:at]
    raise AssertionError(f"unbalanced: {text}")


def families_in_reference():
    """The reference's tables: {family: (type, labels)}."""
    row = re.compile(r"^\| `((?:kinesis|kinescope)_\w+)` \| (\w+) \|([^|]*)\|", re.M)
    found = {name: (kind, {label.strip() for label in labels.split(",")} - {""})
             for name, kind, labels in row.findall(REFERENCE.read_text())}
    for name, (_, labels) in found.items():
        if name.startswith("kinesis_"):
            labels.add("region")
    return found


def family(metric, known):
    """A histogram's parts are its own."""
    for part in PARTS:
        whole = metric.removesuffix(part)
        if whole != metric and known.get(whole, ("",))[0] == "histogram":
            return whole
    return metric


def test_they_are_what_the_generator_writes():
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    sys.path.remove(str(FOLDER))
    assert {board.__name__ for board in build.BOARDS} == set(BOARDS)
    for board in build.BOARDS:
        is_fresh = (FOLDER / f"{board.__name__}.json").read_text() == build.written(board)
        assert is_fresh, f"{board.__name__}.json is stale: python3 dashboards/build.py"


@pytest.mark.parametrize("name", BOARDS)
def test_the_board_as_a_whole(name):
    board = BOARDS[name]
    given = variables(board)
    source = given["datasource"]
    assert (source["type"], source["query"], source["label"]) == ("datasource", "prometheus", "Data source")
    assert "job" in given and (name == "sidecar") == ("instance" in given) == ("region" not in given)
    for variable in given.values():
        if variable["type"] == "query":
            assert variable["datasource"]["uid"] == "${datasource}" and variable["refresh"] == 2
            assert not variable["multi"] or variable["allValue"] == ".+"
    assert board["editable"] is False and board["schemaVersion"] == 39 and board["uid"] == f"kinescope-{name}"
    assert "__inputs" not in board and board["title"].startswith("Kinescope / ")
    assert [link["tags"] for link in board["links"]] == [["kinescope"]] and "kinescope" in board["tags"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, f"{panel['title']} overlaps another"
        taken |= cells
    titles = [panel["title"] for panel in board["panels"]]
    assert len(titles) == len(set(titles)), f"a title is there twice: {sorted(titles)}"


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel(name):
    uids = {board["uid"] for board in BOARDS.values()}
    for panel in panels(BOARDS[name]):
        about = panel["title"]
        assert about and panel["description"].endswith("."), about
        assert panel["type"] not in ("graph", "singlestat", "table-old"), about
        assert panel["datasource"]["uid"] == "${datasource}", about
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, about
        assert panel["targets"], about
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs)), about
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", about
            if "_bucket{" in target["expr"] and panel["type"] != "stat":
                assert target["exemplar"] is True, f"{about}: a histogram leads to traces"
            # A range's last value would be told as if it were one of now.
            assert panel["type"] not in ("stat", "table") or target["instant"] is True, about
        for link in panel["fieldConfig"]["defaults"].get("links", []):
            assert link["url"].split("?")[0].removeprefix("/d/") in uids, about


def test_links_lead_through_all_boards():
    linked = {board["uid"] for board in BOARDS.values() if "links" in board}
    assert linked == {f"kinescope-{name}" for name in ("fleet", "stream", "consumer", "traces", "sidecar")}
    text = (FOLDER / "fleet.json").read_text()
    assert "/d/kinescope-consumer?" in text and "/d/kinescope-stream?" in text


def faults(expression, known, declared):
    """What an expression names that is not there, or does that it should not."""
    found = [f"there is no metric {name}" for name in FAMILY.findall(expression)
             if family(name, known) not in known and name != "ALERTS"]
    scope = "job" if "ALERTS" not in expression else "alertname"
    for metric, matchers in SELECTOR.findall(expression):
        labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers))
        if scope not in labels:
            found.append(f"{metric} is not bound to a {scope}")
        if metric in known or family(metric, known) in known:
            has = known[family(metric, known)][1] | OF_THE_SCRAPE
            found += [f"{metric} has no label {label}" for label in labels - has]
            if metric.startswith("kinesis_") and "region" not in labels:
                found.append(f"{metric} is not bound to a region")
    for match in GROUPED.finditer(expression):
        names = [family(name, known) for name in FAMILY.findall(inside(expression, match.end() - 1))]
        has = set.intersection(*[known[name][1] for name in names if name in known] or [set()]) | OF_THE_SCRAPE
        wanted = {label.strip() for label in match[1].split(",")}
        found += [f"{names} have no label {label}" for label in wanted - has if "ALERTS" not in expression]
    for match in re.finditer(r"([a-z_]+)\((\w+)\{[^}]*\}(\[[^\]]*\])?", expression):
        call, metric, window = match.groups()
        is_counter = metric.endswith("_total") or family(metric, known) != metric
        if call in ("rate", "increase"):
            windows = ("[$__rate_interval]", "[$__range]") if call == "increase" else ("[$__rate_interval]",)
            if not is_counter:
                found.append(f"{call} of {metric}, which is no counter")
            if window not in windows:
                found.append(f"{call} over {window}")
        elif is_counter:
            found.append(f"{metric} without rate or increase")
    for metric in re.findall(r"sum(?: by \([^)]*\))? ?\((kinesis_\w+)", expression):
        if metric != "kinesis_consumer_shards":
            found.append(f"two processes may both tell {metric}: max, not sum")
    for name in re.findall(r"\$(\w+)", expression):
        if name not in declared and not name.startswith("__"):
            found.append(f"there is no variable {name}")
    return found


def test_expressions_name_what_exists():
    known, wrong = families_in_reference(), []
    assert len(known) > 40
    for name, labels in PLANNED.items():
        known.setdefault(name, ("counter" if name.endswith("_total") else "gauge", labels))
    for about, expression in expressions():
        declared = variables(BOARDS[about.split(":")[0]])
        wrong += [f"{about}: {fault}" for fault in faults(expression, known, declared)]
    assert not wrong, "\n" + "\n".join(wrong)


def test_planted_faults_are_found():
    known = {"kinesis_lag_seconds": ("gauge", {"region", "stream"}), "kinesis_n_total": ("counter", {"region"})}

    def check(expression, *expected):
        assert faults(expression, known, {"stream"}) == list(expected)

    check('max by (stream) (kinesis_lag_seconds{job="a",region="b",stream=~"$stream"})')
    check('kinesis_lags{job="a"}', "there is no metric kinesis_lags")
    check('max by (shard) (kinesis_lag_seconds{job="a",region="b"})', "['kinesis_lag_seconds'] have no label shard")
    check('kinesis_lag_seconds{job="a",region="b",shard="c"}', "kinesis_lag_seconds has no label shard")
    check('kinesis_lag_seconds{region="b"}', "kinesis_lag_seconds is not bound to a job")
    check('kinesis_lag_seconds{job="$jobs",region="b"}', "there is no variable jobs")
    check('max(kinesis_n_total{job="a",region="b"})', "kinesis_n_total without rate or increase")
    check('sum by (stream) (kinesis_lag_seconds{job="a",region="b"})',
          "two processes may both tell kinesis_lag_seconds: max, not sum")
    check('sum(rate(kinesis_n_total{job="a",region="b"}[5m]))', "rate over [5m]")
    check('sum(rate(kinesis_lag_seconds{job="a",region="b"}[$__rate_interval]))',
          "rate of kinesis_lag_seconds, which is no counter")


# ---- on a real Prometheus ----------------------------------------------------------------------


class Scraped(Prometheus):
    """A Prometheus that scrapes every process of one run of the demo."""

    def __init__(self, folder):
        self.demo = Program("demo", [binary(), "demo", "--headless", "--for", "75s",
                                     "--scenario", "slow-consumer"], folder)
        self.demo.wait_until(lambda: len(self.targets()) == 5, "the demo's five processes")
        targets = [{"targets": sorted(self.targets())}]
        super().__init__(folder, 0, {"scrape_configs": [{"job_name": "kinescope", "static_configs": targets}]},
                         ["--enable-feature=exemplar-storage"])
        self.began = time.time()

    def targets(self):
        return set(re.findall(r"http://([\d.:]+)/metrics", self.demo.output()))

    def series(self, path, **given):
        return json.loads(self._get(f"/api/v1/{path}?" + urllib.parse.urlencode(given)))["data"]

    def has_data(self, expression):
        """Whether it had a value at any second since the scraping began; `nan` is none."""
        answer = self.series("query_range", query=expression, start=self.began, end=time.time(), step=1)
        return any(value != "NaN" for series in answer["result"] for _, value in series["values"])

    def close(self):
        self.kill()
        self.demo.kill()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    prometheus = Scraped(tmp_path_factory.mktemp("dashboards"))
    yield prometheus
    prometheus.close()


def filled_in(expression, chosen):
    expression = expression.replace("$__rate_interval", "10s").replace("$__range", "60s")
    return re.sub(r"\$(\w+)", lambda match: chosen.get(match[1], ".+"), expression)


def can_be_empty(expression):
    absent = NOT_IN_THE_DEMO | SOMETIMES | PLANNED
    return [name for name in absent if re.search(rf"\b{name}(_bucket|_count|_sum)?\b", expression)]


def test_every_expression_has_data_from_the_demo(scraped):
    # The slow reader, so that there is something to be told; a board of one shows only one.
    one = {"stream": "orders", "consumer": "email-service"}
    waiting = {}
    for about, expression in expressions():
        board = about.split(":")[0]
        chosen = {name: one[name] for name, variable in variables(BOARDS[board]).items()
                  if name in one and not variable["multi"]}
        query = filled_in(expression, chosen)
        if can_be_empty(expression):
            scraped.query(query)  # Prometheus must understand it all the same
        else:
            waiting[about, query] = True
    assert len(waiting) > 60

    def all_have():
        for about, query in list(waiting):
            if scraped.has_data(query):
                del waiting[about, query]
        return not waiting

    try:
        wait_for(all_have, 72, "data")
    except AssertionError:
        pytest.fail("no data for\n" + "\n".join(f"{about}\n    {query}" for about, query in waiting))


def test_the_reference_says_what_is_scraped(scraped):
    """Type, help and labels of every family that the demo has, as Prometheus read them."""
    known, text = families_in_reference(), REFERENCE.read_text()

    def told():
        found = {(entry["metric"], entry["type"], entry["help"]) for entry in scraped.series("targets/metadata")}
        return {entry for entry in found if re.match("(kinesis|kinescope)_", entry[0])}

    wait_for(lambda: len(told()) > 35, 60, "families")
    for name, kind, said in told():
        name += "_total" if kind == "counter" and not name.endswith("_total") else ""  # as OpenMetrics names a family
        row = next((line for line in text.splitlines() if line.startswith(f"| `{name}` |")), "")
        said = said.replace("|", "\\|")
        assert known.get(name, ("",))[0] == kind and f"| {said}" in row, f"{name}: {kind}: {said}\n{row}"
    for series in scraped.series("series", **{"match[]": '{__name__=~"(kinesis|kinescope)_.+"}'}):
        name = family(series["__name__"], known)
        strange = set(series) - OF_THE_SCRAPE - known[name][1]
        assert not strange, f"the reference gives {name} no label {strange}"


def test_points_lead_to_traces(scraped):
    """As Grafana asks for the exemplars of a panel whose queries say so."""
    queries = [filled_in(expression, {}) for about, expression in expressions()
               if about == "traces: Age of records at delivery"]
    found = wait_for(lambda: scraped.exemplars(queries[0], scraped.began, time.time()), 30, "exemplars")
    ids = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
    assert ids and all(re.fullmatch("[0-9a-f]{32}", trace_id) for trace_id in ids)


def test_variables_have_values_from_the_demo(scraped):
    for name, board in BOARDS.items():
        for variable in variables(board).values():
            if variable["type"] != "query":
                continue
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
            assert query and query[2] == variable["name"] and query[1] in variable["query"]["query"]

            def values(match=filled_in(query[1], {}), label=query[2]):
                return scraped.series(f"label/{label}/values", **{"match[]": match})

            wait_for(values, 20, f"values of {variable['name']} on {name}")


def test_what_is_said_to_be_absent_is_absent(scraped):
    stale = [name for name in NOT_IN_THE_DEMO if scraped.has_data(f'{{__name__=~"{name}(_count)?"}}')]
    assert not stale, f"the demo has {stale}: they need not be on the list"
