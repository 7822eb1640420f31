from __future__ import annotations

from collections.abc import Mapping

import pytest

from rules.change.pods import PODS
from rules.facts.region import Change, Limits
from rules.finding import Violation
from tests.rules.good import Wanted, region, versions

BY_ID = {rule.id: rule for rule in PODS}
PROVEN = {"v3": frozenset({"registry.corp.local/echo:3.0.0"})}


def told(
    rule_id: str,
    before: Mapping[str, Wanted],
    after: Mapping[str, Wanted],
    limits: Limits | None = None,
    proven: Mapping[str, frozenset[str]] | None = None,
) -> list[Violation]:
    old, new = (region(wanted=wanted, limits=limits or Limits()) for wanted in (before, after))
    return list(BY_ID[rule_id].check(Change(old, new, proven or {})))


class TestUnderRequests:
    ID = "pods-kept-under-requests"

    def test_tells_what_each_pod_that_is_left_gets(self) -> None:
        before = {"v1": Wanted(100, 30), "v2": Wanted(0, 30)}

        (found,) = told(self.ID, before, {"v1": Wanted(100, 3), "v2": Wanted(0, 3)})

        assert found.where == "Deployment echo/echo-v1: spec.replicas"
        assert found.what == "30 pods answer 100 % of the requests now and 3 are left: each gets 10 times as many"

    def test_counts_the_weight_before_which_may_hold_for_longer_than_the_pods(self) -> None:
        before = {"v1": Wanted(90, 10), "v2": Wanted(10, 10)}

        found = told(self.ID, before, {"v1": Wanted(50, 6), "v2": Wanted(50, 6)})

        assert [each.what for each in found] == [
            "10 pods answer 90 % of the requests now and 6 are left: each gets 1.67 times as many"
        ]

    def test_says_nothing_twice_of_what_is_too_little_by_the_new_numbers(self) -> None:
        before = {"v1": Wanted(90, 10), "v2": Wanted(10, 10)}

        assert not told(self.ID, before, {"v1": Wanted(50, 10), "v2": Wanted(50, 4)})

    @pytest.mark.parametrize(
        ("after", "needed"),
        [
            ({"v1": Wanted(90, 3), "v2": Wanted(10, 1)}, None),
            ({"v1": Wanted(100, 3), "v2": Wanted(0, 0)}, None),
            ({"v1": Wanted(90, 2), "v2": Wanted(10, 3)}, 2),
            ({"v1": Wanted(90, 6), "v2": Wanted(10, 3)}, None),
        ],
    )
    def test_allows_what_leaves_enough(self, after: Mapping[str, Wanted], needed: int | None) -> None:
        assert not told(self.ID, versions(v1=90, v2=10), after, Limits(pods_for_all_traffic=needed))


class TestWayBack:
    ID = "way-back-kept"
    PROMOTED = versions(v1=0, v2=100)

    @pytest.mark.parametrize(
        ("left", "what"),
        [
            (
                1,
                "3 → 1 pods, where it takes 3 to answer all requests: after a rollback each would get 3 times what it is counted on for",
            ),
            (
                0,
                "3 → 0 pods, where it takes 3 to answer all requests: no rollback to it is possible until a commit has brought pods",
            ),
        ],
    )
    def test_tells_what_a_rollback_could_do(self, left: int, what: str) -> None:
        (found,) = told(self.ID, self.PROMOTED, {"v1": Wanted(0, left), "v2": Wanted(100)})

        assert found.what == what
        assert found.mend is not None
        assert found.mend.endswith("rollout retire v1")

    def test_tells_of_pods_that_go_with_the_last_requests(self) -> None:
        assert told(self.ID, versions(v1=10, v2=90), {"v1": Wanted(0, 1), "v2": Wanted(100)})

    def test_knows_a_newer_version_that_had_all_requests(self) -> None:
        before, after = versions(v2=100, v3=0), {"v2": Wanted(100), "v3": Wanted(0, 1)}

        assert told(self.ID, before, after, proven=PROVEN)
        assert not told(self.ID, before, after)

    def test_knows_the_version_that_is_named_as_stable(self) -> None:
        after = {"v2": Wanted(100), "v3": Wanted(0, 1)}

        assert told(self.ID, versions(v2=100, v3=0), after, Limits(stable="v3"))

    @pytest.mark.parametrize(
        ("after", "needed"),
        [
            (versions(v2=100), None),
            ({"v1": Wanted(0, 2), "v2": Wanted(100)}, 2),
            ({"v1": Wanted(100, 2), "v2": Wanted(0)}, None),
        ],
    )
    def test_allows_a_version_to_go_whole_or_to_keep_enough(
        self, after: Mapping[str, Wanted], needed: int | None
    ) -> None:
        assert not told(self.ID, self.PROMOTED, after, Limits(pods_for_all_traffic=needed))
