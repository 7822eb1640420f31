"""Containers that end by themselves are counted by version, from look to look, and for ten minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.problem import RolloutError
from rollout.traffic import restarts as module
from rollout.traffic.restarts import Container, RestartsWatch, containers_of, ended_between, not_ready_since

REGION = RegionAccess("region-a", stack="region-a", context="region-a")
ECHO = ServiceAddress("echo", "echo", 80)


def pod(
    uid: str,
    restarts: int = 0,
    reason: str = "",
    *,
    version: str = "v2",
    sidecar: int = 0,
    ready: bool = True,
    phase: str = "Running",
    leaving: bool = False,
) -> dict[str, Any]:
    last = {"lastState": {"terminated": {"reason": reason, "exitCode": 137}}} if reason else {"lastState": {}}
    return {
        "metadata": {
            "uid": uid,
            "labels": {"app": "echo", "version": version},
            **({"deletionTimestamp": "2026-11-30T00:00:00Z"} if leaving else {}),
        },
        "status": {
            "phase": phase,
            "containerStatuses": [
                {"name": "istio-proxy", "restartCount": sidecar, "lastState": {}, "ready": False},
                {"name": "echo", "restartCount": restarts, "ready": ready, **last},
            ],
        },
    }


def ended(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return ended_between(containers_of(before, "echo"), containers_of(now, "echo"))


def test_a_container_is_that_of_the_service() -> None:
    assert containers_of([pod("a", 2, "Error", sidecar=9), {"metadata": {"uid": "b"}}], "echo") == {
        "a": Container("v2", 2, "Error", ready=True)
    }


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ([pod("a", 3, "Error")], [pod("a", 3, "Error")], []),
        ([pod("a", 3, "Error")], [pod("a", 4, "OOMKilled")], [("v2", "OOMKilled")]),
        ([pod("a", 0)], [pod("a", 2, "Error")], [("v2", "Error")] * 2),
        ([pod("a", 0)], [pod("a", 0, sidecar=1)], []),
        ([pod("a", 0)], [pod("a", 1, "Unknown")], []),
        # evicted: another pod takes its place
        ([pod("a", 5, "Error")], [pod("b", 0)], []),
        ([], [pod("b", 1, "OOMKilled", version="v1")], [("v1", "OOMKilled")]),
    ],
)
def test_what_counts_between_two_looks(
    before: list[dict[str, Any]], now: list[dict[str, Any]], found: list[tuple[str, str]]
) -> None:
    assert ended(before, now) == found


class TestNotReady:
    """What is known after the looks, each ten seconds after the one before."""

    def seconds(self, *looks: list[dict[str, Any]]) -> dict[str, float]:
        since: dict[str, float] = {}
        found = [containers_of(look, "echo") for look in looks]
        for number, (before, now) in enumerate(pairwise(found), start=1):
            since = not_ready_since(since, before, now, 10.0 * number)
        return {uid: 10.0 * number - each for uid, each in since.items()}

    def test_counts_from_the_first_look_that_finds_it_so(self) -> None:
        well, ill = [pod("a"), pod("b", version="v1")], [pod("a", ready=False), pod("b", version="v1")]

        assert self.seconds(well, ill, ill, ill) == {"a": 20.0}
        assert self.seconds(well, ill, well, ill, ill) == {"a": 10.0}

    @pytest.mark.parametrize(
        "then",
        [
            pytest.param([pod("a", ready=False, leaving=True), pod("c", ready=False)], id="a rolling restart, a drain"),
            pytest.param(
                [pod("a", ready=False, phase="Failed"), pod("c", ready=False)], id="an eviction by the kubelet"
            ),
            pytest.param([pod("a"), pod("c", ready=False)], id="an autoscaler adds a pod that finds no place"),
            pytest.param([], id="an autoscaler takes pods away"),
            pytest.param([pod("a", 1, "OOMKilled", ready=False)], id="a container that is started again"),
        ],
    )
    def test_does_not_count_pods_that_come_and_go(self, then: list[dict[str, Any]]) -> None:
        assert self.seconds([pod("a")], then, then, then) == {}

    def test_begins_anew_while_another_version_has_such_pods(self) -> None:
        well, ill = [pod("a"), pod("b", version="v1")], [pod("a", ready=False), pod("b", version="v1", ready=False)]
        # the new version is the first that is hit, and the last that is well again
        first = [pod("a", ready=False), pod("b", version="v1")]

        assert self.seconds(well, first, first, ill, ill, ill) == {"a": 0.0, "b": 0.0}
        assert self.seconds(well, first, first, ill, first) == {"a": 10.0}


class TestWatch:
    @pytest.fixture
    def looks(self, monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, Any]] | RolloutError]:
        """What the looks find, one after the other; the last one again and again."""
        found: list[list[dict[str, Any]] | RolloutError] = []

        def listed(*asked: object) -> list[dict[str, Any]]:
            assert asked[2:] == ("echo", "app=echo")
            look = found.pop(0) if len(found) > 1 else found[0]
            if isinstance(look, RolloutError):
                raise look
            return look

        monkeypatch.setattr(module, "api_client", lambda _region: None)
        monkeypatch.setattr(module, "list_pods", listed)
        monkeypatch.setattr(module, "_EVERY_SECONDS", 0.001)
        return found

    def until(self, holds: Callable[[], bool]) -> None:
        ends = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < ends
            time.sleep(0.001)

    def test_what_was_before_is_not_counted_and_what_follows_is(
        self, looks: list[list[dict[str, Any]] | RolloutError]
    ) -> None:
        looks += [[pod("a", 7, "Error")], RolloutError.of("away"), [pod("a", 8, "OOMKilled")], [pod("a", 9, "Error")]]

        with RestartsWatch(REGION, ECHO) as watch:
            self.until(lambda: len(watch.seen().get("v2", ())) == 2)
            assert watch.seen() == {"v2": ("OOMKilled", "Error")}
            assert watch.trouble() == ""

    def test_a_cluster_that_does_not_answer_is_told(self, looks: list[list[dict[str, Any]] | RolloutError]) -> None:
        looks.append(RolloutError.of("region-a does not answer"))

        with RestartsWatch(REGION, ECHO) as watch:
            self.until(lambda: watch.trouble() == "region-a does not answer")
            assert watch.seen() == {}

    def test_what_is_not_ready_counts_anew_after_a_look_that_failed(
        self, looks: list[list[dict[str, Any]] | RolloutError], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[dict[str, tuple[float, ...]]] = []
        ill = [pod("a", ready=False)]
        looks += [[pod("a")], ill, ill, RolloutError.of("away"), ill, [pod("a")]]
        watch = RestartsWatch(REGION, ECHO)
        listed: Callable[..., Any] = vars(module)["list_pods"]

        def noted(*asked: object) -> Any:
            seen.append(dict(watch.not_ready()))
            return listed(*asked)

        monkeypatch.setattr(module, "list_pods", noted)
        with watch:
            self.until(lambda: len(seen) > 7)

        assert [bool(each) for each in seen[:7]] == [False, False, True, True, False, True, False]
        assert seen[2] == seen[5] == {"v2": (0.0,)}
        assert seen[3]["v2"] > (0.0,)

    def test_after_ten_minutes_it_is_forgotten(
        self, looks: list[list[dict[str, Any]] | RolloutError], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks += [[pod("a", 0)], [pod("a", 1, "Error")]]

        with RestartsWatch(REGION, ECHO) as watch:
            self.until(lambda: bool(watch.seen()))
            monkeypatch.setattr(module, "WITHIN_SECONDS", 0)
            assert watch.seen() == {}
