from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta, timezone
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from rollout.cli.output.status import as_json, exit_code, line, print_status
from rollout.cluster.envoys import Envoy
from rollout.cluster.objects import Live, Pods
from rollout.cluster.surroundings import Surroundings
from rollout.git.record import Promotion, PromotionState, Record
from rollout.git.repository import Entry
from rollout.problem import Problem
from rollout.status.disagreements import Disagreement, RegionStatus, Status
from tests.rollout.cluster.applications import NEW, OLD
from tests.rollout.status.statuses import (
    AGREED,
    CHANGED,
    COMMITTED,
    NOW,
    OTHER,
    WEIGHTS,
    envoys,
    live,
    region,
    route,
    status,
)

BY_HAND = region(live=live(route(OTHER, "kubectl-edit")), envoys=envoys(OTHER))
UNSEEN = region(live=None, envoys=None, problems=(Problem("it does not answer", "why", "fix"),))
UPGRADED = region(
    live=replace(live(route(WEIGHTS)), istiod=frozenset({"1.31.1"})),
    envoys=(*envoys(istio="1.31.1")[:2], *envoys(istio="1.30.2")[2:]),
)
LABEL = "kubectl --context ctx-a label namespace echo istio-injection=enabled --overwrite"
UNLABELLED = region(live=replace(live(route(WEIGHTS)), around=Surroundings(namespace="echo", injects=False)))
HALF_SEEN = region(
    live=replace(live(route(WEIGHTS)), around=Surroundings(unseen=(Problem("no projects", "why", "fix"),)))
)
PROMOTION = (
    Entry(NEW, "Ada", COMMITTED, "Promote v2", "Promote v2", ()),
    Record(
        Promotion("p1", "echo", "v2", (10, 50, 100), ("region-a", "region-b"), 120, OLD),
        PromotionState.IN_PROGRESS,
        "region-a",
        50,
    ),
)


def printed(found: Status) -> str:
    console = Console(file=StringIO(), width=200)
    print_status(console, found)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


MANY = region(others=tuple(Envoy(f"shop/web-{number}") for number in range(950)))


def test_a_sample_is_said_to_be_one() -> None:
    assert "region-a echo: asked 50 of 1,000 Envoys, chosen at random, of each workload one first\n" in printed(
        status(MANY)
    )
    assert [as_json(status(each))["regions"][0]["envoysNotAsked"] for each in (MANY, AGREED)] == [950, 0]


class TestExitCode:
    def test_is_0_when_all_agree(self) -> None:
        assert exit_code(status(AGREED)) == 0

    def test_is_1_when_something_disagrees(self) -> None:
        assert exit_code(status(AGREED, BY_HAND)) == 1

    def test_is_1_when_a_sidecar_is_not_of_istiods_version(self) -> None:
        assert exit_code(status(UPGRADED)) == 1

    def test_is_1_when_something_is_in_the_way(self) -> None:
        assert exit_code(status(UNLABELLED)) == 1

    @pytest.mark.parametrize("unseen", [UNSEEN, HALF_SEEN])
    def test_is_2_when_something_cannot_be_seen(self, unseen: RegionStatus) -> None:
        assert exit_code(status(unseen, BY_HAND)) == 2


class TestTable:
    def row(self, found: Status, version: str) -> list[str]:
        rows = [text.split("  ") for text in printed(found).splitlines() if text.startswith("region-a ")]
        cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
        return next(row for row in cells if row[2] == version)

    def test_shows_each_weight_with_who_says_it(self) -> None:
        changed = region(stack={"v1": 80, "v2": 20}, live=live(route(OTHER)), envoys=envoys(OTHER))

        assert self.row(status(changed), "v2")[3:] == ["20 %", "10 %", "15 %", "15 % (3 of 3)", "3 of 3", "0"]

    def test_shows_envoys_that_do_not_agree_the_most_first(self) -> None:
        late = region(envoys=(*envoys(OTHER)[:1], *envoys()[1:]))

        assert self.row(status(late), "v2")[6] == "10 % (2 of 3), 15 % (1 of 3)"

    def test_shows_what_is_ejected_and_by_how_many(self) -> None:
        ejecting = region(envoys=(*envoys(ejected={"v1": 1})[:1], *envoys()[1:]))

        assert self.row(status(ejecting), "v1")[8] == "1 by 1 of 3 Envoys"

    def test_shows_nothing_of_what_cannot_be_seen(self) -> None:
        assert self.row(status(UNSEEN), "v1")[3:] == ["90 %", "90 %", "-", "-", "-", "-"]

    def test_shows_a_version_that_only_has_pods(self) -> None:
        left = region(live=Live(route(WEIGHTS), {"v3": Pods(2, 1)}))

        assert self.row(status(left), "v3")[3:] == ["-", "-", "-", "0 % (3 of 3)", "1 of 2", "0"]


class TestText:
    def test_says_that_all_agree(self) -> None:
        assert printed(status(AGREED)).splitlines()[-3:] == [
            "region-a echo: Argo CD: Synced, Healthy, at 2222222",
            "region-a echo: Istio: istiod of an unknown version, Envoys of an unknown version (3 of 3)",
            "all agree",
        ]

    def test_says_which_istio_runs_where(self) -> None:
        assert "region-a echo: Istio: istiod 1.31.1, Envoys 1.31.1 (2 of 3), 1.30.2 (1 of 3)\n" in printed(
            status(UPGRADED)
        )

    def test_says_what_disagrees_since_when_and_by_whom(self) -> None:
        assert printed(status(BY_HAND)).splitlines()[-1] == (
            "region-a echo: the cluster has v1 85, v2 15, and 2222222, which Argo CD last synced, says v1 90, v2 10, "
            "since 2026-11-23 11:31:00 UTC (29 min ago), by kubectl-edit"
        )

    def test_says_what_is_in_the_way_with_its_mend(self) -> None:
        assert printed(status(UNLABELLED)).splitlines()[-3:] == [
            "region-a echo: the namespace echo has no label by which Istio injects sidecars",
            "  why it matters: a pod that starts now has none",
            f"  what to do: give it back: {LABEL}",
        ]

    def test_does_not_say_that_all_agree_where_something_cannot_be_seen(self) -> None:
        assert "all agree" not in printed(status(UNSEEN))

    def test_tells_of_the_promotion(self) -> None:
        assert (
            "promotion of echo v2 in progress (region-a at 50 of 10, 50, 100; region-a, region-b), "
            "by Ada at 2026-11-23 11:30:00 UTC, 2222222\n"
        ) in printed(replace(status(AGREED), promotions=(PROMOTION,)))


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=-3), "0 s ago"),
        (timedelta(seconds=119), "119 s ago"),
        (timedelta(minutes=2), "2 min ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=2), "2 d ago"),
    ],
)
def test_a_time_is_told_in_the_largest_unit_that_is_there_twice(ago: timedelta, said: str) -> None:
    assert f"({said})" in line(Disagreement("region-a", "x", NOW - ago), NOW)


def test_a_time_is_told_in_utc_wherever_it_is_from() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5)))

    assert "since 2026-11-23 12:00:00 UTC" in line(Disagreement("region-a", "x", there), NOW)


class TestJson:
    def made(self, found: Status) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(json.dumps(as_json(found)))
        return parsed

    def test_has_all_weights(self) -> None:
        (found,) = self.made(status(BY_HAND))["regions"]

        assert found["weights"] == {"stack": WEIGHTS, "git": WEIGHTS, "synced": WEIGHTS, "cluster": OTHER}
        assert found["changed"] == {"by": "kubectl-edit", "at": CHANGED.isoformat()}
        assert [envoy["weights"] for envoy in found["envoys"]] == [OTHER] * 3

    def test_has_which_versions_a_header_asks_an_envoy_for_and_whether_it_is_a_gateway(self) -> None:
        found = region(envoys=(*envoys(testers=frozenset({"v2", "v1"}))[:1], *envoys(gateway=True)[:1]))
        (made,) = self.made(status(found))["regions"]

        assert [(envoy["testers"], envoy["gateway"]) for envoy in made["envoys"]] == [(["v1", "v2"], False), ([], True)]

    def test_has_what_disagrees(self) -> None:
        made = self.made(status(BY_HAND))

        assert made["agrees"] is False
        assert [(each["since"], each["by"]) for each in made["disagreements"]] == [
            (CHANGED.isoformat(), "kubectl-edit")
        ]

    def test_has_what_is_in_the_way_with_its_mend(self) -> None:
        made = self.made(status(UNLABELLED))

        assert made["agrees"] is False
        assert made["disagreements"] == [
            {
                "region": "region-a",
                "service": "echo",
                "what": "the namespace echo has no label by which Istio injects sidecars",
                "since": None,
                "by": None,
                "why": "a pod that starts now has none",
                "fix": f"give it back: {LABEL}",
                "stops": False,
            }
        ]

    def test_has_the_versions_of_istio_and_null_where_they_are_not_known(self) -> None:
        upgraded, unknown = self.made(status(UPGRADED, AGREED))["regions"]

        assert [upgraded["istiod"], unknown["istiod"]] == [["1.31.1"], None]
        assert [envoy["istio"] for envoy in upgraded["envoys"] + unknown["envoys"]] == [
            "1.31.1",
            "1.31.1",
            "1.30.2",
            None,
            None,
            None,
        ]

    def test_has_null_for_what_cannot_be_seen(self) -> None:
        (found,) = self.made(status(UNSEEN))["regions"]

        assert (found["weights"]["cluster"], found["pods"], found["envoys"]) == (None, None, None)
        assert found["problems"] == [{"what": "it does not answer", "why": "why", "fix": "fix"}]
        (half,) = self.made(status(HALF_SEEN))["regions"]
        assert [each["what"] for each in half["problems"]] == ["no projects"]

    def test_has_the_promotion(self) -> None:
        made = self.made(replace(status(AGREED), promotions=(PROMOTION,)))["promotions"][0]

        assert (made["version"], made["state"], made["active"], made["weight"]) == ("v2", "in progress", True, 50)
