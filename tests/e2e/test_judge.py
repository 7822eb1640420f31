"""What a promotion makes of a version that is worse, and of what is not the version's doing: under load, with what it cost."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from bench.load import Entrance
from tests.e2e.drills import Row, none_failed, under_load
from tests.e2e.faults import busy, faulty, limited, meanwhile, processes, run_out_of_memory, stalls
from tests.e2e.laboratory import Laboratory
from tests.e2e.promoting import Promoted, cost_of, only_failed, promote, restored, rollout, weights_in

pytestmark = pytest.mark.drill

_REGION = "region-a"
_HERE = f"--regions={_REGION}"
_NARROW = ("--margin=1", "--slower=2", "--longest=5m")
"""Nearer to the defaults than the other drills' are, and proven by fewer requests."""
_ALIKE = ("--margin=5", "--slower=2", "--longest=3m")
_OUTAGE_SECONDS = 20
_MEMORY_SECONDS = 20
_GOES_ON = 2
"""How often a promotion of the same image is resumed: of a version with a hundredth of the requests more are slow (docs/measured.md)."""
_NOT_YET_KNOWN = "not yet known"
_PROMOTIONS = "ALIKE_PROMOTIONS"
_FEW = "3"


def _assert_taken_back(lab: Laboratory, done: Promoted, *why: str) -> None:
    assert done.code == 1, str(done)
    for text in why:
        assert text in done.result["reason"]
    assert done.result["undone"]["holds"], str(done)
    assert weights_in(lab, _REGION) == {"v1": 100}


def test_a_version_whose_processor_is_limited_is_taken_back(
    lab: Laboratory, drills: list[Row], notes: list[str]
) -> None:
    drill = "v2 has 10 thousandths of a processor from 25 % on"
    with restored(lab), limited(processes(lab, _REGION, "v2"), millis=10) as limit:
        with under_load(lab, drill, drills):
            done = promote(
                lab, "v2", "--bake=60s", "--steps=25", _HERE, when={"v2 25 %: committed": limit}, margins=_NARROW
            )
        _assert_taken_back(lab, done, "v2 is slow more than 2 times as often as v1")
    notes.append(f"{drill}: {cost_of(done)}; {done.result['reason']}")


def _bound_seconds(said: Sequence[str], part: str) -> float:
    """What takes longer is slow by p50, p95 or p99, as a promotion says before its first step."""
    found = re.search(rf"([0-9.,]+) ms \(1\.5 x {part}\)", "\n".join(said))
    assert found
    return float(found[1].replace(",", "")) / 1000


def test_a_version_that_is_slow_at_p99_only_is_taken_back(lab: Laboratory, drills: list[Row], notes: list[str]) -> None:
    """One of its three pods stands still again and again, and gets a ninth to a third of the requests that come meanwhile.

    A client's proxy takes the less busy one of two pods. So 2 to 6 % of the requests wait for longer than the bound for p99, which
    follows from how busy the machine was before. While it is busier, 3 % of the old version's do as well.
    """
    drill = "one pod of v2 stands still for 2.5 times p99's bound of each 8"
    said: list[str] = []
    with restored(lab), ExitStack() as stack:
        server, *_ = processes(lab, _REGION, "v2")

        def stall() -> None:
            bound = _bound_seconds(said, "p99")
            stack.enter_context(stalls([server], still=2.5 * bound, moving=5.5 * bound))()

        with under_load(lab, drill, drills):
            steps = ("--bake=8m", "--steps=25")
            done = promote(lab, "v2", *steps, _HERE, when={"v2 25 %: committed": stall}, margins=_NARROW, heard=said)
        _assert_taken_back(lab, done, "v2 is slow more than 2 times as often as v1", "p99")
    assert none_failed(drills, drill)
    notes.append(f"{drill}: {cost_of(done)}; {done.result['reason']}")


def test_an_outage_of_both_versions_takes_nothing_back(lab: Laboratory, drills: list[Row], notes: list[str]) -> None:
    """After thousands of requests that were answered well, both fail equally often for a while."""
    drill = f"both versions fail 5 % for {_OUTAGE_SECONDS} s in a step"
    with restored(lab), faulty(lab, _REGION, "v1", "v2") as fail:

        def outage(over: threading.Event) -> None:
            over.wait(_OUTAGE_SECONDS / 4)
            fail(5)
            over.wait(_OUTAGE_SECONDS)
            fail(0)

        with under_load(lab, drill, drills) as load, meanwhile(outage) as begin:
            done = promote(
                lab, "v2", "--bake=40s", "--steps=50", _HERE, when={"v2 50 %: synced": begin}, margins=_NARROW
            )
        assert done.code == 0, str(done)
        (step,) = done.result["steps"]
        assert step["proof"]["new"]["failures"] > 0
        assert step["proof"]["old"]["failures"] > 0
        assert load.loads[_REGION].failures()
    notes.append(f"{drill}: {_compared(step)}")


def test_what_slows_both_versions_takes_nothing_back(lab: Laboratory, drills: list[Row], notes: list[str]) -> None:
    """As where both wait for the same database."""
    drill = "both versions stand still for 0.08 s of every 0.25 s"
    with restored(lab), stalls(processes(lab, _REGION, "v1", "v2"), still=0.08, moving=0.17) as stall:
        with under_load(lab, drill, drills):
            done = promote(
                lab, "v2", "--bake=60s", "--steps=50", _HERE, when={"v2 50 %: committed": stall}, margins=_NARROW
            )
        assert done.code == 0, str(done)
        (step,) = done.result["steps"]
        # on a busy machine the p99 before is longer than such a pause
        slow = [each for each in step["compared"] if each["name"].endswith(("p50)", "p95)"))]
        assert len(slow) == 2
        assert all(each["old"]["failures"] > each["old"]["requests"] / 10 for each in slow), slow
    assert none_failed(drills, drill)
    notes.append(f"{drill}: {_compared(step)}")


def test_a_version_that_runs_out_of_memory_again_and_again_is_taken_back(
    lab: Laboratory, drills: list[Row], notes: list[str]
) -> None:
    drill = f"a container of v2 runs out of memory every {_MEMORY_SECONDS} s"
    with restored(lab):
        servers = processes(lab, _REGION, "v2")

        def one_by_one(over: threading.Event) -> None:
            for server in servers:
                run_out_of_memory(server)
                over.wait(_MEMORY_SECONDS)

        with under_load(lab, drill, drills), meanwhile(one_by_one) as begin:
            done = promote(lab, "v2", "--bake=90s", "--steps=25", _HERE, when={"v2 25 %: synced": begin})
        _assert_taken_back(lab, done, "containers of v2 ended within ten minutes", "OOMKilled", "of v1 none")
    notes.append(f"{drill}: {cost_of(done)}; {done.result['reason']}")


def test_a_version_with_a_pod_that_its_clients_leave_out_is_taken_back(
    lab: Laboratory, entrance: Entrance, drills: list[Row], notes: list[str]
) -> None:
    """Its failures are within the margin: each client sends it ten, and then none for half a minute or longer."""
    drill = "one pod of v2 fails every request from 50 % on"
    with restored(lab), faulty(lab, _REGION, "v2") as fail:
        with under_load(lab, drill, drills, entrance) as load:
            when = {"v2 50 %: synced": partial(fail, 100, pods=1)}
            done = promote(lab, "v2", "--bake=6m", "--steps=50", _HERE, when=when)
        _assert_taken_back(lab, done, "clients have ejected pods of v2 for ", "of v1 none")
        assert only_failed(load, "v2")
    notes.append(f"{drill}: {cost_of(done)}; {done.result['reason']}")


def test_a_region_that_is_done_and_fails_takes_all_back(lab: Laboratory, drills: list[Row], notes: list[str]) -> None:
    drill = "v2 fails 30 % in region-a, which is done, while region-b is promoted"
    with restored(lab), faulty(lab, _REGION, "v2") as fail:
        with under_load(lab, drill, drills) as load:
            when = {"region-b: v2 50 %: committed": lambda: fail(30)}
            done = promote(lab, "v2", "--bake=20s", "--steps=50", when=when)
        _assert_taken_back(lab, done, "region-a: v2 fails more often than v1")
        assert weights_in(lab, "region-b") == {"v1": 100}
        assert only_failed(load, "v2")
    notes.append(f"{drill}: {cost_of(done)}; {done.result['reason']}")


def test_what_the_old_version_failed_before_excuses_nothing(
    lab: Laboratory, drills: list[Row], notes: list[str]
) -> None:
    """They are compared in the same seconds."""
    drill = "v1 fails 5 % in the step before, v2 3 % now"
    with restored(lab), faulty(lab, _REGION, "v1") as fail_old, faulty(lab, _REGION, "v2") as fail_new:

        def turn() -> None:
            fail_old(0)
            fail_new(3)

        when = {"v2 25 %: committed": lambda: fail_old(5), ": proven": turn}
        with under_load(lab, drill, drills):
            done = promote(lab, "v2", "--bake=20s", "--steps=25,50", _HERE, when=when, margins=_NARROW)
        _assert_taken_back(lab, done, "v2 fails more often than v1")
    first, *_ = done.result["steps"]
    assert first["proof"]["old"]["failures"] > first["proof"]["new"]["failures"] == 0
    notes.append(f"{drill}: {cost_of(done)}; {done.result['reason']}")


def test_one_image_under_both_names_is_never_taken_back(lab: Laboratory, drills: list[Row], notes: list[str]) -> None:
    """Promoted back and forth on a busy machine, as often as the environment's ALIKE_PROMOTIONS says."""
    count = int(os.environ.get(_PROMOTIONS, _FEW))
    drill = f"one image under both names, {count} promotions on a busy machine"
    ended, version = Counter[str](), "v2"
    with restored(lab):
        _make_alike(lab)
        with under_load(lab, drill, drills), busy():
            for number in range(count):
                began = time.monotonic()
                done, resumed = promote(lab, version, "--bake=5s", "--steps=1,10,50,100", _HERE, margins=_ALIKE), 0
                while _is_not_yet_known(done) and resumed < _GOES_ON:
                    done, resumed = promote(lab, "--resume"), resumed + 1
                state = _NOT_YET_KNOWN if _is_not_yet_known(done) else str(done.result and done.result["state"])
                ended[state] += 1
                told = state + f", resumed {resumed} times" * bool(resumed)
                notes.append(_row(number + 1, version, done, told, time.monotonic() - began))
                assert state in {"done", _NOT_YET_KNOWN}, str(done)
                if state == "done":
                    version = {"v1": "v2", "v2": "v1"}[version]
                else:
                    assert rollout(lab, "rollback").returncode == 0
    assert ended["done"] > count / 2, ended
    assert none_failed(drills, drill)


def _is_not_yet_known(done: Promoted) -> bool:
    return any(" is not proven within " in line for line in done.said)


def _make_alike(lab: Laboratory) -> None:
    """Give v2 the image of v1, and one percent of the requests."""

    def alike(config: Any) -> None:
        versions = config["echo-rollout:services"]["echo"]["versions"]
        versions["v2"]["image"] = versions["v1"]["image"]

    lab.edit(_REGION, alike)
    lab.await_synced(lab.weigh({"v1": 99, "v2": 1}, _REGION), _REGION)


def _row(number: int, version: str, done: Promoted, state: str, seconds: float) -> str:
    """A promotion in a line: what was sent in its steps, what failed, and how many times as often the new version was slow."""
    steps = done.result["steps"] if done.result else []
    failed = [step["compared"][0] for step in steps if step["compared"]]
    sent, bad = (sum(each[who][what] for each in failed for who in ("new", "old")) for what in ("requests", "failures"))
    slow = ", ".join(_ratio(steps, part) for part in ("p50", "p95", "p99"))
    return f"  {number:>2} {version}: {sent:>7,} requests, {bad} failed, slow {slow} times as often: {state}, {seconds:.0f} s"


def _ratio(steps: list[Any], part: str) -> str:
    """How many times as often the new version was slow by a bound, expected by what the old one was in the same steps."""
    found, expected = 0, 0.0
    for each in (each for step in steps for each in step["compared"] if part in each["name"]):
        found += each["new"]["failures"]
        expected += each["new"]["requests"] * each["old"]["failures"] / each["old"]["requests"]
    return f"{found / expected:.2f} ({part})" if expected else f"- ({part})"


def _compared(step: Any) -> str:
    """How both versions fared in a step, for people."""
    return "; ".join(
        f"{each['name']}: v2 {each['new']['failures']:,} of {each['new']['requests']:,}, "
        f"v1 {each['old']['failures']:,} of {each['old']['requests']:,}"
        for each in step["compared"]
    )
