"""A service that is nothing like echo, beside it: Debian's nginx with its own port and path, and no word of ours in its answers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.drills import Row, none_failed, under_load
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.promoting import RATE, promote, rollout, steps_of, trailers
from tests.e2e.web import bring, take_away


@pytest.fixture(scope="module")
def web(lab: Laboratory) -> str:
    """The service, up beside echo in both regions; the commit that brought it. It stays: these tests are the last of a run."""
    return bring(lab)


def _verified(lab: Laboratory, *arguments: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What was measured, by region, service and whence the requests came."""
    verified = lab.verify("--json", *arguments)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return {(each["region"], each["service"], each["from"]): each for each in json.loads(verified.stdout)["regions"]}


@pytest.mark.usefixtures("web")
def test_both_services_are_split_as_their_weights_say(lab: Laboratory) -> None:
    """From inside the mesh and through the gateway."""
    found = _verified(lab)
    ways = ("mesh", "gateway")
    assert found.keys() == {(region, service, way) for region in REGIONS for service in ("echo", "web") for way in ways}
    for (_, service, _), each in found.items():
        rows = {row["version"]: row["requests"] for row in each["rows"]}
        assert (rows["v2"] > 0) == (service == "echo")
        assert sum(rows.values()) == each["requests"] > 0
    status = rollout(lab, "status")
    assert status.returncode == 0, status.stdout


@pytest.mark.usefixtures("web")
def test_a_preview_of_both_services_changes_nothing(lab: Laboratory) -> None:
    lab.pulumi("preview", "--stack", "region-b", "--expect-no-changes", "--policy-pack", "policies")


@pytest.mark.usefixtures("web")
def test_testers_get_the_version_that_they_ask_for_at_weight_0(lab: Laboratory) -> None:
    for region in REGIONS:
        asked = '--request={"path": "/shop", "headers": {"x-web-version": "v2"}}'
        assert _answers(lab, region, asked) == {("v2", "site 2")}
        assert _answers(lab, region, '--request={"path": "/shop"}') == {("v1", "site 1")}


def _answers(lab: Laboratory, region: str, request: str) -> set[tuple[str, str]]:
    """Which version each of twenty answers names, and what it says."""
    url = "--url=http://web.web.svc.cluster.local:8000/"
    options = (
        url,
        "--requests=20",
        "--rate=100",
        "--workers=2",
        "--ignore-stdin",
        "--version-header=x-rollout-version",
        request,
    )
    probe = ("--namespace=echo-probe", "deployment/probe", "--container=probe")
    printed = lab.kubectl(region, "exec", *probe, "--", "/probe", "attack", *options)
    results = [json.loads(line) for line in printed.splitlines()]
    assert len(results) == 20
    return {(each.get("subset", ""), each["body"]) for each in results}


@pytest.mark.drill
def test_both_services_are_promoted_at_the_same_time_and_one_is_taken_back(
    lab: Laboratory, web: str, drills: list[Row], notes: list[str]
) -> None:
    """Echo goes through both regions to the end and its old version is retired, web through one, keeping v1 a part, and back."""
    drill = "echo and web promoted at the same time"
    asked = {"echo": ([*REGIONS], ["50", "100"], 0), "web": (["region-a"], ["10", "50", "99"], 1)}
    with under_load(lab, drill, drills), ThreadPoolExecutor() as pool:
        running = {
            service: pool.submit(
                promote,
                lab,
                "v2",
                f"--service={service}",
                f"--regions={','.join(regions)}",
                f"--steps={','.join([*steps[:-1], '100'])}",
                f"--keep={keep}",
                "--bake=5s",
                "--longest=5m",
                # three regions of theirs are watched, and the drill sends its own, on two processors with all that they measure
                rate=RATE // 3,
            )
            for service, (regions, steps, keep) in asked.items()
        }
        done = {service: each.result() for service, each in running.items()}
    assert {service: each.code for service, each in done.items()} == {"echo": 0, "web": 0}, "\n".join(
        map(str, done.values())
    )
    lab.git("pull", "--quiet", "--ff-only", "lab", "main")
    told = trailers(lab, web)
    for service, (regions, steps, keep) in asked.items():
        own = [each for each in told if each["Rollout-Service"] == service]
        assert [(each["Rollout-Region"], each["Rollout-Weight"]) for each in own] == [
            *((region, weight) for region in regions for weight in steps),
            *[(regions[-1], "100")] * (1 + keep),
        ]
        assert {each["Rollout-State"] for each in own[:-1]} == {"in progress"}
        assert own[-1]["Rollout-State"] == "done"
        assert all("Rollout-Proof" in each for each in own[1:])
        notes.extend([f"{service} v2 promoted beside the other service:", *steps_of(done[service])])
    assert none_failed(drills, drill)
    undone = rollout(lab, "rollback", "--service=web")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    retired = rollout(lab, "retire", "v1", "--service=echo", "--json")
    assert retired.returncode == 0, retired.stdout + retired.stderr
    assert all(row["failures"] == 0 for row in json.loads(retired.stdout)["regions"])
    assert {region: lab.known(region) for region in REGIONS} == {region: {"v2"} for region in REGIONS}
    versions = {
        (region, service): {row["version"] for row in each["rows"] if row["requests"]}
        for (region, service, _), each in _verified(lab).items()
    }
    assert versions == {
        (region, service): {want} for region in REGIONS for service, want in (("echo", "v2"), ("web", "v1"))
    }


@pytest.mark.drill
def test_a_service_is_taken_away_in_the_documented_steps(lab: Laboratory, web: str) -> None:
    """Those of docs/operating.md."""
    take_away(lab, web)
