"""Owns: the status page in a real browser. What happens is on it within two seconds and without a
reload; its text and its roles are what the JSON says; nothing leaves loopback, nothing is said in the
console, axe-core finds no fault; it works with scripts off, with names that hold HTML, with a
thousand shards, on an empty system and while nobody answers; every incident of the demo is on the
hub's page when the demo says that it was noticed."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import threading
import time

import pytest

from harness import PEERS, Boto3, Lines, Program, binary, in_threads, iterator, missing, new_stream, wait_for
from receivers import Server
from signing import sign
from upstream import JSON

pytestmark = pytest.mark.patient


class Page:
    """One page that is open."""

    def __init__(self, browser, url, **given):
        opened = browser.call("open", url=url, **given)
        self.browser, self.page = browser, opened["page"]
        self.status, self.ms = opened["status"], opened["ms"]

    def __getattr__(self, operation):
        return lambda **given: self.browser.call(operation, page=self.page, **given)

    def closed(self):
        """What it asked for and said while it was open."""
        seen = self.seen()
        self.close()
        assert seen["errors"] == [] and seen["dialogs"] == 0, seen
        assert all(url.startswith(("http://127.0.0.1:", "data:")) for url in seen["requests"]), seen
        return seen


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    node, chromium = shutil.which("node"), PEERS / "chromium/run"
    chromium = chromium if chromium.exists() else shutil.which("chromium")
    modules = f"{PEERS / 'npm/node_modules'}:{os.environ.get('NODE_PATH', '')}"
    there = any((pathlib.Path(at) / "playwright-core").exists() for at in modules.split(":") if at)
    if node is None or chromium is None or not there:
        missing("chromium, playwright-core, axe-core")
    driver = pathlib.Path(__file__).with_name("clients") / "browser.cjs"
    client = Lines([node, driver, chromium], {
        "NODE_PATH": modules, "NODE_NO_WARNINGS": "1", "HOME": str(tmp_path_factory.mktemp("home"))})
    yield client
    # The end of its commands: it closes the browser and ends.
    client.process.stdin.close()
    client.process.wait(20)
    client.process.stdout.close()


@pytest.fixture
def look(browser, request):
    """Opens pages; all of them must have been quiet and at home when the test ends."""
    opened = []

    def look(url, **given):
        opened.append(Page(browser, url, **given))
        return opened[-1]

    yield look
    for page in opened:
        if folder := os.environ.get("KINESCOPE_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{request.node.name}-{page.page}.png")
        page.closed()


def status(sidecar):
    return json.loads(sidecar.get("/api/v1/status")[1])


def consumer(sidecar, stream):
    return next((view for view in status(sidecar)["consumers"] if view["stream"] == stream), None)


def check_axe(page):
    assert page.axe() == []


class Flow:
    """A stream that goes on being written, and one reader of it that can be stopped."""

    def __init__(self, upstream_url, sidecar, stream):
        self.writer, self.reader = Boto3(upstream_url), Boto3(sidecar.url)
        self.at, self.stream = iterator(self.reader, stream, kind="LATEST"), stream
        self.reads, self.ends = True, threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.ends.wait(0.3):
            self.writer.call("PutRecord", StreamName=self.stream, Data=b"{}", PartitionKey="p")
            if self.reads:
                self.at = self.reader.call("GetRecords", ShardIterator=self.at)["NextShardIterator"]
            elif self.reader:
                self.reader.client.close()
                self.reader = None

    def close(self):
        self.ends.set()
        self.thread.join()


@pytest.fixture
def flow(ministack, kinescope, tmp_path):
    """A sidecar beside a reader; its alert fires as soon as the reader has stopped."""
    rule = {"name": "KinesisConsumerStopped", "severity": "critical", "for": "1s"}
    (tmp_path / "rules.yaml").write_text(json.dumps({"rules": [rule]}))
    sidecar = kinescope(ministack.url, {"alerts": {"rules": [str(tmp_path / "rules.yaml")]}})
    stream = new_stream(ministack.url)
    # One event with a context, for the traces.
    client = Boto3(sidecar.url)
    client.call("PutRecord", StreamName=stream, PartitionKey="p", Data=b'{"eventType":"ORDER_CREATED"}')
    client.call("GetRecords", ShardIterator=iterator(client, stream))
    client.client.close()
    flow = Flow(ministack.url, sidecar, stream)
    flow.sidecar = sidecar
    yield flow
    flow.close()


def test_what_happens_is_on_the_page_at_once(flow, look):
    sidecar, stream = flow.sidecar, flow.stream
    began = time.monotonic()
    wait_for(lambda: (consumer(sidecar, stream) or {}).get("status") in ("ok", "idle"), 15, "a verdict")
    page = look(sidecar.admin_url + "/")
    page.wait(at="#live", text="^live, as of", ms=3000)
    told = page.roles()
    for role in ['heading "Kinescope sidecar: this pod only" [level=1]', 'heading "Streams" [level=2]',
                 'heading "What this process costs" [level=2]', "- status", f'rowheader "{stream}',
                 f'rowheader "inventory reads {stream}"', 'columnheader "Lag"']:
        assert role in told, f"{role} is not in\n{told}"
    # A reader opens the shards, and the keyboard stays where it is while the page changes.
    page.focus(at="#part-consumers summary")
    page.press(key="Enter")
    assert "shardId-000000000000" in page.text(at="#part-consumers")
    wait_for(lambda: time.monotonic() > began + 8, 9, "the reader's rhythm to be known")
    flow.reads = False
    wait_for(lambda: consumer(sidecar, stream)["status"] == "stopped", 30, "the verdict in the JSON")
    assert page.wait(at="#part-consumers", text="stopped", ms=2000) < 2000
    page.wait(at="#part-summary", text="1 of 1 consumer in trouble|alert is firing", ms=2000)
    page.wait(at="#said", text=f"inventory on {stream}: stopped", ms=2000)
    reason = consumer(sidecar, stream)["reason"]
    assert re.sub(r"\d+", "N", reason) in re.sub(r"\d+", "N", page.text(at="#part-consumers"))
    assert page.evaluate(script="document.querySelector('#part-consumers details').open")
    assert page.evaluate(script="document.activeElement.nodeName") == "SUMMARY"
    assert page.seen()["loads"] == 1, "without a reload"
    page.wait(at="#part-consumers .spark", text="", ms=12000)
    page.wait(at="#part-summary", text="KinesisConsumerStopped", ms=5000)
    page.wait(at="#part-fleet", text=f"inventory → {stream} → inventory", ms=5000)
    check_axe(page)
    for given in ({"dark": True}, {"phone": True}, {"phone": True, "dark": True}):
        other = look(sidecar.admin_url + "/", **given)
        other.wait(at="#live", text="^live, as of", ms=3000)
        check_axe(other)
        # Folded for a phone, it is a table still.
        assert f'rowheader "inventory reads {stream}"' in other.roles(at="#part-consumers")
        wide = other.evaluate(script="document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, "the page does not scroll sideways"


def test_scripts_off_shows_the_same(ministack, kinescope, look):
    sidecar, stream = kinescope(ministack.url), new_stream(ministack.url, shards=2)
    client = Boto3(sidecar.url)
    client.call("PutRecord", StreamName=stream, Data=b"{}", PartitionKey="p")
    client.call("GetRecords", ShardIterator=iterator(client, stream))
    wait_for(lambda: consumer(sidecar, stream) and status(sidecar)["streams"][0]["open_shards"], 15, "figures")
    with_script, without = look(sidecar.admin_url + "/"), look(sidecar.admin_url + "/", script=False)
    moves = re.compile(r"≈ |< |[\d.]+ (ms|s|min)\b( \d+ s)?|[\d.]+ (%|k?/s)|—|live.*|reloads.*|as of.*|lag over.*")
    same = lambda page: moves.sub("", page.text(at="#part-streams") + page.text(at="#part-consumers")).split()  # noqa: E731
    # One is kept up to date, the other loads itself again: figures move on between two looks.
    wait_for(lambda: same(with_script) == same(without), 15, "the same on both pages")
    assert "reloads every 5 s" in without.text(at="#live")
    assert stream in without.text() and "ACTIVE, PROVISIONED" in without.text()
    first = without.text(at="#as-of")
    wait_for(lambda: without.text(at="#as-of") != first, 9, "the page to load itself again")


def test_names_that_hold_html_are_text(kinesis, kinescope, look):
    evil = "<img src=x onerror=alert(1)>"
    upstream = kinesis()
    sidecar = kinescope(upstream.url, {"service": {"name": evil}})
    client = Boto3(sidecar.url)
    data = json.dumps({"eventType": evil}).encode()
    client.call("PutRecord", StreamName="orders", Data=data, PartitionKey="p")
    assert client.call("GetRecords", ShardIterator=iterator(client, "orders"))["Records"]
    wait_for(lambda: consumer(sidecar, "orders"), 10, "the consumer")
    page = look(sidecar.admin_url + "/")
    page.wait(at="#live", text="^live, as of", ms=3000)
    page.wait(at="#part-fleet", text=re.escape(evil), ms=6000)
    text = page.text()
    assert text.count(evil) >= 4, text
    assert page.title() == f"{evil} · Kinescope"
    assert page.count(at="img") == 0
    check_axe(page)


def many_shards(request):
    """A stream of as many shards as anybody asks for; one of them is far behind."""
    given = json.loads(request.body)
    if "ShardId" in given:
        answer = {"ShardIterator": given["ShardId"]}
    elif at := given.get("ShardIterator"):
        late = 7200_000 if at.startswith("shardId-000000000777") else 0
        answer = {"Records": [], "NextShardIterator": at + "+", "MillisBehindLatest": late}
    else:
        return 400, {}, b'{"__type":"ResourceNotFoundException"}'
    return 200, {"content-type": JSON}, json.dumps(answer).encode()


def test_a_thousand_shards(kinescope, look):
    upstream = Server(many_shards)
    sidecar = kinescope(upstream.url)
    # The sidecar signs anew: one signature will do for all.
    headers = sign(sidecar.url, b"{}")

    def read(worker):
        connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=20)

        def call(operation, **given):
            target = {"X-Amz-Target": f"Kinesis_20131202.{operation}"}
            connection.request("POST", "/", json.dumps(given).encode(), {**headers, **target})
            return json.loads(connection.getresponse().read())

        for shard in range(worker, 1000, 20):
            at = call("GetShardIterator", StreamName="orders", ShardId=f"shardId-{shard:012}",
                      ShardIteratorType="LATEST")["ShardIterator"]
            call("GetRecords", ShardIterator=at)

    in_threads(20, read)
    wait_for(lambda: len(consumer(sidecar, "orders")["shards"]) == 1000, 15, "a thousand shards")
    page = look(sidecar.admin_url + "/")
    assert page.ms < 3000
    page.wait(at="#live", text="^live, as of", ms=4000)
    page.evaluate(script="document.querySelector('#part-consumers details').open = true")
    text = page.text(at="#part-consumers")
    assert "1000 shards:" in text and "The 32 worst are shown; 968 more are in the JSON." in text
    assert "shardId-000000000777" in text and text.index("shardId-000000000777") < text.index("shardId-000000000000")
    # The page answers while it is kept up to date.
    began = time.monotonic()
    page.press(key="Tab")
    page.roles(at="header")
    assert time.monotonic() - began < 2
    check_axe(page)
    upstream.close()


def test_an_empty_system_says_what_to_do_next(ministack, kinescope, look):
    sidecar = kinescope(ministack.url)
    page = look(sidecar.admin_url + "/")
    text = page.text(at="#part-summary")
    assert "Nothing has been seen yet. What to do next:" in text
    assert f"AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:{sidecar.port}" in text
    check_axe(page)
    # What it says is true: a put shows within two seconds.
    stream = new_stream(ministack.url)
    Boto3(sidecar.url).call("PutRecord", StreamName=stream, Data=b"{}", PartitionKey="p")
    page.wait(at="#part-streams", text=stream, ms=2000)
    hub = kinescope(ministack.url, {"service": {"name": "hub"}}, role="hub")
    page = look(hub.admin_url + "/")
    assert "Let sidecars report to this hub" in page.text(at="#part-summary")
    check_axe(page)


def test_the_hub_draws_the_fleet(ministack, kinescope, look):
    hub = kinescope(ministack.url, {"service": {"name": "hub"}}, role="hub")
    stream = new_stream(ministack.url)
    names = ("shop", "mail")
    shop, mail = (kinescope(ministack.url, {
        "service": {"name": name}, "hub": {"endpoint": hub.otlp_url},
        "privacy": {"fields": ["eventType", "sagaId"]}}) for name in names)
    page = look(hub.admin_url + "/")
    writer, reader = Boto3(shop.url), Boto3(mail.url)
    for step in ("RESERVE_INVENTORY", "SHIP_ORDER"):
        data = json.dumps({"eventType": step, "payload": {"sagaId": "saga-7"}, "sagaId": "saga-7"}).encode()
        writer.call("PutRecord", StreamName=stream, Data=data, PartitionKey="p")
    at = iterator(reader, stream)
    wait_for(lambda: reader.call("GetRecords", ShardIterator=at)["Records"], 10, "the records")
    page.wait(at="#part-fleet", text="shop → mail", ms=10000)
    told = page.roles(at="#part-fleet")
    assert "Map: 1 service writing, 1 stream, 1 service reading" in told, told
    page.wait(at="#part-fleet", text=f"shop → {stream} → mail", ms=5000)
    page.wait(at="#part-fleet", text="saga-7", ms=5000)
    assert "completed" in page.text(at="#part-fleet")
    assert "hub: the fleet" in page.text(at="header")
    check_axe(page)


def test_silence_and_a_full_house_are_said(ministack, kinescope, look):
    sidecar = kinescope(ministack.url)
    page = look(sidecar.admin_url + "/")
    page.wait(at="#live", text="^live, as of", ms=3000)
    sidecar.process.send_signal(signal.SIGSTOP)
    try:
        page.wait(at="#live", text="no answer since .* these figures are old", ms=12000)
    finally:
        sidecar.process.send_signal(signal.SIGCONT)
    page.wait(at="#live", text="^live, as of", ms=3000)
    # Others take every seat: who comes later is shown the page anew now and then.
    page.evaluate(script="dispatchEvent(new Event('pagehide'))")
    watchers = []
    for _ in range(16):
        watchers.append(socket.create_connection(("127.0.0.1", sidecar.admin)))
        watchers[-1].sendall(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
        assert watchers[-1].recv(12) == b"HTTP/1.1 200"
    assert sidecar.get("/api/v1/events")[0] == 503
    assert sidecar.get("/metrics")[0] == 200
    for watcher in watchers:
        watcher.close()
    page.evaluate(script="dispatchEvent(new Event('pageshow'))")
    page.wait(at="#live", text="^live, as of", ms=3000)


# What the page says of each incident of the demo when it is noticed: where, in which words, and the
# role that it has.
ON_THE_PAGE = {
    "slow-consumer": ("#part-summary", "KinesisConsumerLagHigh", "stream orders, consumer email-service"),
    "stopped-consumer": ("#part-summary", "KinesisConsumerStopped", "stream orders, consumer email-service"),
    "hot-key": ("#part-summary", "KinesisHotShard", "stream invoices, shard shardId-"),
    "throttled-writes": ("#part-summary", "KinesisPutFailures", "stream invoices"),
    "poison-event": ("#part-summary", "KinesisConsumerStalled", "stream commands, consumer saga"),
    "resharding": ("#part-streams", "orders", r"ACTIVE, PROVISIONED\s*3\b"),
    "retention": ("#part-summary", "KinesisDataLossImminent", "stream archive, consumer inventory-service"),
}
# Put failures are known to the pod whose puts they are.
ON_ANOTHERS_PAGE = {"throttled-writes": "order-service"}


class Demo:
    """A demo of some incidents, with the pages that show them."""

    def __init__(self, folder, look, *scenes):
        self.scenes, self.seen = scenes, set()
        command = [binary(), "demo", "--headless", "--for", "150s", "--scenario", ",".join(scenes)]
        self.program = Program("demo", command, folder)
        self.program.wait_until(lambda: "the whole" in self.program.output(), "the demo's addresses")
        self.pages = {name: look(self.url(name)) for name in {"hub", *map(self.where, scenes)}}

    def url(self, service):
        return re.search(rf"^  {service} +(\S+)", self.program.output(), re.M)[1]

    @staticmethod
    def where(scene):
        return ON_ANOTHERS_PAGE.get(scene, "hub")

    def told(self, word):
        return re.findall(rf"^ *\d+ s  {word} ([a-z-]+) after ", self.program.output(), re.M)

    def look(self):
        """Looks at what was noticed since the last look; true when all is over."""
        assert self.program.process.poll() is None, self.program.output()
        for scene in self.told("NOTICED"):
            if scene not in self.seen:
                self.seen.add(scene)
                self.is_shown(scene)
        return len(self.told("OVER")) == len(self.scenes)

    def is_shown(self, scene):
        page, (part, name, words) = self.pages[self.where(scene)], ON_THE_PAGE[scene]
        page.wait(at=f"{part} tr:has(th)", text=name + r"[\s\S]*" + words, ms=2000)
        told = page.roles(at=part)
        assert f'rowheader "{name}' in told, f"{name} is not in\n{told}"

    def end(self):
        assert set(self.told("NOTICED")) == set(self.scenes), self.program.output()
        hub = self.pages["hub"]
        if "poison-event" in self.scenes:
            # The page has the twelve newest sagas. One in five is taken back: another soon is, if none was.
            hub.wait(at="#part-fleet", text=r"compensated[\s\S]*RESERVE_INVENTORY", ms=20_000)
        if "throttled-writes" in self.scenes:
            hub.wait(at="#part-streams", text="invoices", ms=2000)
        check_axe(hub)
        assert hub.seen()["loads"] == 1, "without a reload"
        for page in self.pages.values():
            page.evaluate(script="dispatchEvent(new Event('pagehide'))")
        self.program.process.send_signal(signal.SIGINT)
        # It was broken off, but nothing was lost or altered on the way.
        assert self.program.process.wait(20) == 0, self.program.output()
        assert "FAULT" not in self.program.output()


def test_every_incident_of_the_demo_is_on_the_page_when_it_is_noticed(look, tmp_path):
    stories = [("hot-key", "throttled-writes"), ("poison-event", "resharding"),
               ("retention", "stopped-consumer"), ("slow-consumer",)]
    assert sorted(sum(stories, ())) == sorted(ON_THE_PAGE)
    # Not all at once: a shard is filled by a flood that takes a core's quarter.
    watch([Demo(tmp_path, look, *story) for story in stories[:1]])
    watch([Demo(tmp_path, look, *story) for story in stories[1:]])


def watch(demos):
    try:
        ends = time.monotonic() + 110
        while not all([demo.look() for demo in demos]):
            assert time.monotonic() < ends, "\n".join(demo.program.output() for demo in demos)
            time.sleep(0.02)
        for demo in demos:
            demo.end()
    finally:
        for demo in demos:
            demo.program.kill()
