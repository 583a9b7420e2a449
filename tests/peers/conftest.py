"""Owns what the peer tests share: the emulators (once a session), a kinescope for each test, and the
logs of every program beside a failure."""

import signal

import pytest

import harness
import kcl
from harness import Boto3, Kinescope, Node, Program
from receivers import Otlp, Webhook
from upstream import Kinesis


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for program in {*item.stash.get(STARTED, []), *Program.alive}:
            tail = program.output()[-6000:]
            report.sections.append((f"log of {program.name} ({program.log})", tail))
    return report


STARTED = pytest.StashKey()


@pytest.fixture(autouse=True)
def bounded(request):
    """No test may take longer than this, whatever it waits for."""
    def too_long(*_):
        raise AssertionError("the test took longer than five minutes")

    seconds = 0 if request.node.get_closest_marker("soak") else 300
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def ministack(tmp_path_factory):
    program = harness.start_ministack(tmp_path_factory.mktemp("ministack"))
    yield program
    program.kill()


@pytest.fixture(scope="session")
def kinesis_mock(tmp_path_factory):
    program = harness.start_kinesis_mock(tmp_path_factory.mktemp("kinesis-mock"))
    yield program
    program.kill()


@pytest.fixture(scope="session")
def ferrokinesis(tmp_path_factory):
    program = harness.start_ferrokinesis(tmp_path_factory.mktemp("ferrokinesis"))
    yield program
    program.kill()


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    program = harness.start_moto(tmp_path_factory.mktemp("moto"))
    yield program
    program.kill()


def _of_kcl(item):
    return item.path.name == "test_kcl.py"


def pytest_collection_modifyitems(items):
    """KCL takes up to a minute to read its first record: what needs it comes last …"""
    items.sort(key=_of_kcl)


@pytest.fixture(scope="session", autouse=True)
def kcl_applications(request):
    """… and it is started before the first test, if any of its own is to run."""
    wanted = any(map(_of_kcl, request.session.items))
    started = {}
    if wanted and kcl.is_there():
        folder = request.getfixturevalue("tmp_path_factory")
        moto, ministack = request.getfixturevalue("moto"), request.getfixturevalue("ministack")
        for mode, upstream in (("polling", "kinesis_mock"), ("fan-out", "ferrokinesis")):
            upstream = request.getfixturevalue(upstream)
            started[mode] = kcl.Application(folder.mktemp("kcl"), mode, upstream, moto, ministack)
    yield started
    for application in started.values():
        application.close()


@pytest.fixture(params=["ministack", "kinesis_mock", "ferrokinesis"])
def any_upstream(request):
    """Every emulator; ferrokinesis always says a lag of 0."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["ministack", "kinesis_mock"])
def upstream(request):
    """Those that tell the truth about MillisBehindLatest."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def kinesis():
    """Starts upstreams of our own; each request that they got must have been signed right."""
    made = []

    def make(**given):
        made.append(Kinesis(**given))
        return made[-1]

    yield make
    for upstream in made:
        assert upstream.bad_signatures == 0
        upstream.close()


@pytest.fixture
def kinescope(request, tmp_path):
    """Starts `kinescope run`; at the test's end it must drain and exit 0."""
    if not harness.binary().exists():
        pytest.fail(f"{harness.binary()} is not built: cargo build")
    started = request.node.stash.setdefault(STARTED, [])

    def start(upstream_url, config=None, **given):
        started.append(Kinescope(tmp_path, upstream_url, config, **given))
        return started[-1]

    yield start
    for program in started:
        program.stop()


@pytest.fixture
def otlp(tmp_path):
    receiver = Otlp(tmp_path)
    yield receiver
    receiver.close()


@pytest.fixture
def webhook():
    receiver = Webhook()
    yield receiver
    receiver.close()


@pytest.fixture(params=[Boto3, Node], ids=lambda client: client.name)
def connect(request):
    """Makes clients of one real SDK: `connect(url)`."""
    made = []

    def make(url, **given):
        made.append(request.param(url, **given))
        return made[-1]

    yield make
    for client in made:
        client.close()
