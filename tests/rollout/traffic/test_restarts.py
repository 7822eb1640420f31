"""Containers that end by themselves are counted by version, from look to look, and for ten minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.problem import RolloutError
from rollout.traffic import restarts as module
from rollout.traffic.restarts import Container, RestartsWatch, containers_of, ended_between

REGION = RegionAccess("region-a", stack="region-a", context="region-a")
ECHO = ServiceAddress("echo", "echo", 80)


def pod(uid: str, restarts: int, reason: str = "", *, version: str = "v2", sidecar: int = 0) -> dict[str, Any]:
    last = {"lastState": {"terminated": {"reason": reason, "exitCode": 137}}} if reason else {"lastState": {}}
    return {
        "metadata": {"uid": uid, "labels": {"app": "echo", "version": version}},
        "status": {
            "containerStatuses": [
                {"name": "istio-proxy", "restartCount": sidecar, "lastState": {}},
                {"name": "echo", "restartCount": restarts, **last},
            ]
        },
    }


def ended(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return ended_between(containers_of(before, "echo"), containers_of(now, "echo"))


def test_a_container_is_that_of_the_service() -> None:
    assert containers_of([pod("a", 2, "Error", sidecar=9), {"metadata": {"uid": "b"}}], "echo") == {
        "a": Container("v2", 2, "Error")
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

    def test_after_ten_minutes_it_is_forgotten(
        self, looks: list[list[dict[str, Any]] | RolloutError], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks += [[pod("a", 0)], [pod("a", 1, "Error")]]

        with RestartsWatch(REGION, ECHO) as watch:
            self.until(lambda: bool(watch.seen()))
            monkeypatch.setattr(module, "WITHIN_SECONDS", 0)
            assert watch.seen() == {}
