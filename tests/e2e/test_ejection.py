"""How many pods Envoy leaves out at once, for each number of them and each `maxEjectionPercent`.

All pods answer 500, so that what stays in is what Envoy may not leave out. One DestinationRule holds every case: a subset
for each number of pods and each percentage, each of them a cluster of Envoy with its own account of the pods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from bench.load import Load
from lab.machine import cgroups, processes
from lab.place import Region
from tests.e2e.drills import is_share
from tests.e2e.faults import fault
from tests.e2e.laboratory import Laboratory
from tests.e2e.waiting import until

pytestmark = pytest.mark.drill

_PERCENTS = (None, 20, 33, 34, 50, 66, 67, 100)
_ENVOYS_OWN_PERCENT = 10
_RATE = 500
_LAST = 1000


@dataclass(frozen=True)
class Case:
    """So many pods, and the limit on how many of them may be out; None where none is set."""

    pods: int
    percent: int | None

    @property
    def subset(self) -> str:
        return f"of{self.pods}-{self.percent or 'unset'}"

    @property
    def may_be_out(self) -> int:
        percent = _ENVOYS_OWN_PERCENT if self.percent is None else self.percent
        return self.pods * percent // 100


_CASES = [Case(pods, percent) for pods in (4, 3, 2, 1) for percent in _PERCENTS]
# 37 for each pod of four; ten failures in a row eject one
_REQUESTS = 150 * len(_CASES)


@dataclass(frozen=True)
class Ejections:
    """What became of the pods.

    Attributes:
        out: how many are left out, by subset.
        codes: what the requests that were sent thereafter were answered, by HTTP status.
    """

    out: Mapping[str, int]
    codes: Counter[int]


@pytest.fixture(scope="module")
def ejections(lab: Laboratory, notes: list[str]) -> Ejections:
    region = lab.place.regions[0]
    with lab.restored(), _marked_pods(lab):
        _commit_cases(lab)
        with _all_fail(region):
            found = _measured(lab, region)
    for pods in sorted({case.pods for case in _CASES}):
        cases = (case for case in _CASES if case.pods == pods)
        told = ", ".join(f"{case.percent or 'unset'}: {found.out[case.subset]}" for case in cases)
        notes.append(f"pods out at once, of {pods} that all fail, by maxEjectionPercent: {told}")
    return found


@pytest.mark.parametrize("case", _CASES, ids=lambda case: str(case.subset))
def test_as_many_pods_are_out_at_once_as_the_percentage_rounded_down(ejections: Ejections, case: Case) -> None:
    assert ejections.out[case.subset] == case.may_be_out


def test_a_version_whose_pods_are_all_out_answers_503(ejections: Ejections) -> None:
    """The others answer 500 still: those of their pods that stay in do."""
    emptied = sum(case.may_be_out == case.pods for case in _CASES)
    assert set(ejections.codes) == {500, 503}
    assert is_share(ejections.codes[503], ejections.codes.total(), emptied / len(_CASES))


@contextmanager
def _marked_pods(lab: Laboratory) -> Iterator[None]:
    """Put labels on the pods that are there, for subsets of as many of them as each case wants."""
    pods = [
        f"pod/{pod['metadata']['name']}"
        for pod in lab.get("region-a", "pods", "--namespace=echo", "--selector=app=echo")["items"]
    ]
    counts = sorted({case.pods for case in _CASES})
    for count in counts:
        lab.kubectl("region-a", "label", "--namespace=echo", *pods[:count], f"of{count}=yes")
    try:
        yield
    finally:
        lab.kubectl("region-a", "label", "--namespace=echo", *pods, *(f"of{count}-" for count in counts))


def _commit_cases(lab: Laboratory) -> None:
    """Give each case a subset and the same share of the requests, and wait until the probe's Envoy has them."""

    def subsets(rule: Any) -> None:
        ejection = rule["spec"]["trafficPolicy"].pop("outlierDetection")
        ejection.pop("maxEjectionPercent", None)
        ejection["baseEjectionTime"] = "300s"  # none is back before all are counted
        rule["spec"]["subsets"] = [_subset(case, ejection) for case in _CASES]

    def routes(service: Any) -> None:
        (http,) = service["spec"]["http"]
        to = http["route"][0]["destination"]
        http["route"] = [{"destination": {**to, "subset": case.subset}, "weight": 1} for case in _CASES]

    lab.edit_overlay("region-a", "dr.yaml", subsets)
    lab.edit_overlay("region-a", "vs.yaml", routes)
    lab.push("Give each limit on ejection a subset of its own")
    until(lambda: lab.routed("region-a") == {case.subset for case in _CASES})


def _subset(case: Case, ejection: Mapping[str, Any]) -> dict[str, Any]:
    limit = {} if case.percent is None else {"maxEjectionPercent": case.percent}
    policy = {"outlierDetection": {**ejection, **limit}}
    return {"name": case.subset, "labels": {f"of{case.pods}": "yes"}, "trafficPolicy": policy}


@contextmanager
def _all_fail(region: Region) -> Iterator[None]:
    servers = [pid for pid in cgroups.members(region.cgroup) if processes.command_line(pid) == ["/echo"]]
    assert servers
    try:
        fault(servers, "--status=500")
        yield
    finally:
        fault(servers, "--off")


def _measured(lab: Laboratory, region: Region) -> Ejections:
    with Load(region, _RATE) as load:
        until(lambda: load.sent >= _REQUESTS, seconds=60)
        out = _out(lab)
        before = load.sent
        until(lambda: load.sent >= before + _LAST)
    return Ejections(out, Counter(answer.code for answer in load.answers[before:]))


def _out(lab: Laboratory) -> dict[str, int]:
    clusters = lab.envoy("region-a", "clusters?format=json")["cluster_statuses"]
    hosts = {cluster["name"]: cluster["host_statuses"] for cluster in clusters if "host_statuses" in cluster}
    return {
        case.subset: sum(
            host["health_status"].get("failed_outlier_check", False)
            for host in hosts[f"outbound|80|{case.subset}|echo.echo.svc.cluster.local"]
        )
        for case in _CASES
    }
