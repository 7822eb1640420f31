"""A version promoted through real regions under load: to the end, back by itself, and through whatever comes between."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.drills import Row, mostly_drills, none_failed, under_load
from tests.e2e.faults import away, faulty, processes, stalls
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.promoting import (
    Somebody,
    cost_of,
    only_failed,
    promote,
    restored,
    rollout,
    steps_of,
    trailers,
    weights_in,
)
from tests.e2e.waiting import until

_DOWN_SECONDS = 60


def test_a_version_is_promoted_through_both_regions(lab: Laboratory, drills: list[Row], notes: list[str]) -> None:
    steps = ["50", "99"]
    drill = "v2 promoted 50, 100 in both regions"
    began = time.monotonic()
    with restored(lab) as before:
        with under_load(lab, drill, drills):
            done = promote(lab, "v2", "--bake=5s", "--steps=50,100")
        assert done.code == 0, str(done)
        assert {region: weights_in(lab, region) for region in REGIONS} == {region: {"v2": 100} for region in REGIONS}
        told = trailers(lab, before)
        assert [(each["Rollout-Region"], each["Rollout-Weight"]) for each in told] == [
            *((region, weight) for region in REGIONS for weight in steps),
            ("region-b", "100"),
            ("region-b", "100"),
        ]
        assert [each["Rollout-State"] for each in told] == ["in progress"] * 5 + ["done"]
        assert all("Rollout-Proof" in each for each in told[1:])
        retired = rollout(lab, "retire", "v1", "--json")
        assert retired.returncode == 0, retired.stdout + retired.stderr
        assert all(row["failures"] == 0 for row in json.loads(retired.stdout)["regions"])
        assert {region: lab.known(region) for region in REGIONS} == {region: {"v2"} for region in REGIONS}
        _brought_back(lab, drills, "registry.corp.local/echo:1.0.0")
    assert none_failed(drills, drill)
    notes.append(f"promotion of v2 through both regions: {time.monotonic() - began:.0f} s with what follows it")
    notes.extend(steps_of(done))


def _brought_back(lab: Laboratory, table: list[Row], image: str) -> None:
    """The old version comes again with weight 0, as a new one would: its pods wait for the weights that the test goes back to."""
    introduce = partial(rollout, lab, "introduce", "v1", f"--image={image}", "--json")
    before = lab.git("rev-parse", "HEAD").strip()
    with under_load(lab, "v1 introduced", table):
        brought = introduce()
    assert brought.returncode == 0, brought.stdout + brought.stderr
    commits = lab.git("log", "--reverse", "--format=%H", f"{before}..HEAD").split()
    rows = json.loads(brought.stdout)["regions"]
    assert [(row["region"], row["commit"]) for row in rows] == [*zip(REGIONS, commits, strict=True)]
    assert all(row["envoys"] > 0 for row in rows)
    assert {region: lab.known(region) for region in REGIONS} == {region: {"v1", "v2"} for region in REGIONS}
    assert {region: weights_in(lab, region) for region in REGIONS} == {region: {"v2": 100} for region in REGIONS}
    assert none_failed(table, "v1 introduced")
    again = introduce()
    assert again.returncode == 0, again.stdout + again.stderr
    assert [row["commit"] for row in json.loads(again.stdout)["regions"]] == [None, None]


@dataclass(frozen=True)
class Fault:
    """How v2 fails: so many percent of the requests to so many of its pods, from the step with this weight on."""

    percent: int
    pods: int
    weight: int


_FAULTS = (Fault(100, 3, 25), Fault(30, 3, 10))


@pytest.mark.parametrize(
    "fault",
    mostly_drills(_FAULTS, Fault(30, 3, 10)),
    ids=["every request from the 25 step", "30 % of the requests"],
)
def test_a_version_that_fails_is_taken_back_by_itself(
    lab: Laboratory, drills: list[Row], notes: list[str], fault: Fault
) -> None:
    """Whichever way it fails, the comparison with v1 finds it; what fails is v2's own, and v1 answers all in the end."""
    drill = f"v2 fails {fault.percent} % in {fault.pods} of 3 pods from {fault.weight} % on"
    with restored(lab), faulty(lab, "region-a", "v2") as fail:
        with under_load(lab, drill, drills) as load:
            done = promote(
                lab,
                "v2",
                "--bake=5s",
                "--regions=region-a",
                when={f"v2 {fault.weight} %: committed": lambda: fail(fault.percent, fault.pods)},
            )
        assert done.code == 1, str(done)
        assert done.result["state"] == "rolled back"
        assert "fails more often" in done.result["reason"]
        assert weights_in(lab, "region-a") == {"v1": 100}
        assert weights_in(lab, "region-b") == {"v1": 90, "v2": 10}
        assert lab.known("region-a") == {"v1", "v2"}  # nothing is removed
        assert only_failed(load, "v2")
        assert {row["version"] for row in done.result["undone"]["cost"] if row["failures"]} == {"v2"}
        assert done.result["undone"]["holds"]
    notes.append(f"{drill}: {cost_of(done)}")


@pytest.mark.drill
def test_a_version_that_stands_still_again_and_again_is_taken_back(
    lab: Laboratory, drills: list[Row], notes: list[str]
) -> None:
    """None of its requests fails: they only wait."""
    drill = "v2 stands still for 0.6 s of every 0.65 s from 25 % on"
    with restored(lab), stalls(processes(lab, "region-a", "v2")) as stall:
        with under_load(lab, drill, drills):
            done = promote(lab, "v2", "--bake=5s", "--regions=region-a", when={"v2 25 %: committed": stall})
        assert done.code == 1, str(done)
        assert "is slow more than 10 times as often as v1" in done.result["reason"]
        assert weights_in(lab, "region-a") == {"v1": 100}
    assert none_failed(drills, drill)
    notes.append(f"{drill}: {cost_of(done)}; {done.result['reason']}")


@pytest.mark.drill
def test_a_promotion_killed_at_each_step_is_resumed(lab: Laboratory, drills: list[Row], tmp_path: Path) -> None:
    """And somebody's commit between two of them, which is not about the regions, stays."""
    drill = "promotion killed at each step and resumed"
    somebody = Somebody(lab, tmp_path / "clone")
    with restored(lab) as before:
        with under_load(lab, drill, drills):
            first = promote(lab, "v2", "--bake=2s", "--regions=region-a", "--steps=10,50,100", kill_at="committed as")
            assert first.code == -9, str(first)
            runs = [first]
            second = promote(lab, "v2", "--steps=50,100")
            assert second.code == 2, str(second)
            assert "is in progress" in "\n".join(second.said)
            theirs = somebody.pushes("README.md", lambda text: text + "\n")
            for _ in range(3):
                runs.append(promote(lab, "--resume", kill_at="committed as"))
            last = promote(lab, "--resume")
        assert [run.code for run in runs] == [-9, -9, -9, -9]
        assert last.code == 0, str(last)
        told = trailers(lab, before)
        assert [each["Rollout-Weight"] for each in told if each] == ["10", "50", "99", "100", "100"]
        assert lab.git("branch", "--contains", theirs).split()[-1] == "main"
        assert weights_in(lab, "region-a") == {"v2": 100}
        back = rollout(lab, "rollback", "--json")
        assert back.returncode == 0, back.stdout + back.stderr
        assert weights_in(lab, "region-a") == {"v1": 100}
    assert none_failed(drills, drill)


@pytest.mark.drill
def test_a_persons_commit_in_a_region_stands(lab: Laboratory, drills: list[Row], tmp_path: Path) -> None:
    drill = "somebody's commit in the middle of a promotion"
    somebody = Somebody(lab, tmp_path / "clone")
    file = "Pulumi.region-b.yaml"

    def change(text: str) -> str:
        return text.replace("maxEjectionPercent: 34 ", "maxEjectionPercent: 40 ")

    with restored(lab):
        with under_load(lab, drill, drills):
            done = promote(
                lab,
                "v2",
                "--bake=2s",
                "--steps=10,25",
                when={"region-a: v2 10 %: committed": lambda: somebody.pushes(file, change)},
            )
        assert done.code == 2, str(done)
        assert done.result["state"] == "ended"
        assert "End-to-end tests: Change Pulumi.region-b.yaml" in done.result["reason"]
        assert "maxEjectionPercent: 40" in (lab.place.checkout / file).read_text()
    assert none_failed(drills, drill)


@pytest.mark.drill
def test_istiod_is_down_for_a_minute(lab: Laboratory, drills: list[Row], notes: list[str]) -> None:
    """No Envoy can acknowledge what nobody tells it: the promotion waits, and no request is lost."""
    drill = "istiod down for a minute while a step is committed"
    with restored(lab), ExitStack() as istiod:

        def down() -> None:
            istiod.enter_context(away(lab, "region-a", "deployment/istiod", "istio-system"))

        def up_again() -> None:
            time.sleep(_DOWN_SECONDS)  # the drill is this minute
            istiod.close()

        with under_load(lab, drill, drills):
            done = promote(
                lab,
                "v2",
                "--bake=2s",
                "--regions=region-a",
                "--steps=25",
                when={"all regions are measured": down, "v2 25 %: committed": up_again},
            )
        assert done.code == 0, str(done)
        (step,) = done.result["steps"]
        assert step["acknowledged_seconds"] > _DOWN_SECONDS
        assert step["coming"]["failures"] == 0
    assert none_failed(drills, drill)
    notes.append(f"{drill}: acknowledged {step['acknowledged_seconds']:.0f} s after it was asked for")


@contextmanager
def _self_heal_paused(lab: Laboratory, region: str) -> Iterator[None]:
    def heal(on: bool) -> None:
        patch = json.dumps({"spec": {"syncPolicy": {"automated": {"selfHeal": on}}}})
        lab.kubectl(region, "patch", "application/echo", "--namespace=argocd", "--type=merge", f"--patch={patch}")

    heal(False)
    try:
        yield
    finally:
        heal(True)


def _set_by_hand(lab: Laboratory, region: str, *weights: int) -> None:
    patch = [{"op": "replace", "path": f"/spec/http/0/route/{n}/weight", "value": w} for n, w in enumerate(weights)]
    virtual_service = ("virtualservice.networking.istio.io/echo", "--namespace=echo")
    lab.kubectl(region, "patch", *virtual_service, "--type=json", f"--patch={json.dumps(patch)}")


def _acknowledged(lab: Laboratory, region: str, weights: dict[str, int]) -> bool:
    """Whether each Envoy has them, as `status` says."""
    envoys = _region(rollout(lab, "status", f"--region={region}", "--json").stdout)["envoys"]
    return bool(envoys) and all(envoy["weights"] == weights for envoy in envoys)


@pytest.mark.drill
def test_weights_changed_by_hand_are_seen_and_do_not_hold(lab: Laboratory, notes: list[str], tmp_path: Path) -> None:
    """Where Git says 90/10: `status` says who changed it, `verify` that it is so, of a canary without requests at once."""
    plot = tmp_path / "share.svg"
    told = {"90/10": lab.verify("--region=region-a", "--json", f"--plot={plot}")}
    assert told["90/10"].returncode == 0, told["90/10"].stdout + told["90/10"].stderr
    assert "<svg" in plot.read_text()
    with _self_heal_paused(lab, "region-a"):
        for weights in ((85, 15), (100, 0)):
            _set_by_hand(lab, "region-a", *weights)
            split = {version: weight for version, weight in zip(("v1", "v2"), weights, strict=True) if weight}
            until(partial(_acknowledged, lab, "region-a", split), seconds=60)
            status = rollout(lab, "status", "--region=region-a")
            assert status.returncode == 1, status.stdout
            assert "kubectl" in status.stdout, status.stdout
            name = f"{weights[0]}/{weights[1]} by hand"
            told[name] = lab.verify("--region=region-a", "--json")
            assert told[name].returncode == 1, told[name].stdout + told[name].stderr
    measured = {name: _region(done.stdout) for name, done in told.items()}
    assert {finding["kind"] for finding in measured["85/15 by hand"]["findings"]} == {"off weight"}
    assert measured["100/0 by hand"]["requests"] <= 150
    until(lambda: weights_in(lab, "region-a") == {"v1": 90, "v2": 10}, seconds=60)
    until(lambda: rollout(lab, "status").returncode == 0, seconds=60)
    notes.extend(
        f"verify {name}: decided with {each['requests']:,} requests in {each['seconds']:.1f} s"
        for name, each in measured.items()
    )


def _region(told: str) -> Any:
    """The one that is told; of what was measured, from inside the mesh."""
    return next(each for each in json.loads(told)["regions"] if each.get("from") != "gateway")
