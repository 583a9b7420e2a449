"""Owns: whenever a hub or a sidecar is killed, and however receivers fail, every alert that fired is told
at least once, every one that was told is taken back, nothing is taken back before it was told, and one
incident is one notification."""

import os
import threading

import pytest

from harness import in_threads, wait_for
from killing import Fleet

pytestmark = pytest.mark.patient

# Streams that are behind at a time.
LANES = 5


@pytest.mark.parametrize("kills, every", [(20, 0.8), pytest.param(200, 1.5, marks=pytest.mark.soak)])
def test_kill_9_at_random_moments(kills, every, tmp_path, capsys):
    seed = int(os.environ.get("KINESCOPE_SEED", 7))
    fleet, ending = Fleet(tmp_path, seed), threading.Event()

    def work(index):
        if index < LANES:
            return fleet.lag(ending)
        try:
            fleet.kill(kills, every)
        finally:
            ending.set()

    try:
        in_threads(LANES + 1, work)
        wait_for(lambda: not fleet.missing(), 90, "everything that is owed")
        in_threads(len(fleet.mortals), lambda index: fleet.mortals[index].program.stop())
    except AssertionError as error:
        raise AssertionError(f"{error}; seed {seed}; missing: {fleet.missing()}") from error
    finally:
        fleet.close()
    fleet.check()
    assert fleet.hub.owed and any(one.owed for one in fleet.sidecars)
    with capsys.disabled():
        print(f"\n{kills} kills, {fleet.summary()}; seed {seed}")
