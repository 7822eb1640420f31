from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from rollout.cluster.application import parse_application
from rollout.cluster.envoys import Envoy
from rollout.cluster.objects import Live, Pods, Route, WaitingPod
from rollout.status.disagreements import Disagreement, all_disagreements, disagreements, told
from tests.rollout.cluster.applications import NEW, OLD, refused, well
from tests.rollout.status.statuses import (
    AGREED,
    CHANGED,
    COMMITTED,
    EDITED,
    OTHER,
    PODS,
    SYNCED,
    WEIGHTS,
    envoys,
    live,
    region,
    route,
    status,
)


def only(**changes: Any) -> Disagreement:
    """The one thing that disagrees then."""
    (found,) = disagreements(region(**changes))
    return found


def test_where_all_say_the_same_nothing_disagrees() -> None:
    assert disagreements(AGREED) == ()


def test_a_weight_of_0_and_none_are_the_same() -> None:
    stack, routed = {"v1": 100, "v2": 0}, {"v1": 100}

    assert not disagreements(
        region(stack=stack, committed=stack, git=routed, synced=routed, live=live(route(stack)), envoys=envoys(routed))
    )


def test_regions_are_told_in_their_order() -> None:
    found = all_disagreements(status(region(live=None, stack=OTHER), replace(region(stack=OTHER), name="region-b")))

    assert [each.region for each in found] == ["region-a", "region-b"]


def shown(region: str, what: str, since: datetime | None = None, by: str = "") -> Disagreement:
    """One of the service echo."""
    return Disagreement(region, what, since, by, service="echo")


class TestStackFile:
    def test_that_is_not_committed_disagrees_since_it_was_written(self) -> None:
        assert only(stack=OTHER) == shown(
            "region-a",
            "Pulumi.region-a.yaml says v1 85, v2 15 and is not committed; HEAD says v1 90, v2 10",
            EDITED,
        )

    def test_that_is_not_rendered_disagrees_since_its_commit(self) -> None:
        assert only(stack=OTHER, committed=OTHER) == shown(
            "region-a",
            "Pulumi.region-a.yaml at HEAD says v1 85, v2 15, and its overlay, not rendered from it, v1 90, v2 10",
            COMMITTED,
        )

    def test_that_is_new_disagrees_with_nothing(self) -> None:
        found = disagreements(region(committed=None, git=None))

        assert [each.what for each in found] == [
            "Pulumi.region-a.yaml says v1 90, v2 10 and is not committed; HEAD says nothing"
        ]

    def test_that_cannot_be_used_says_nothing(self) -> None:
        assert not disagreements(region(stack=None))


class TestCluster:
    def test_changed_by_hand_disagrees_since_then_and_says_by_what(self) -> None:
        found = only(live=live(route(OTHER, "kubectl-edit")), envoys=envoys(OTHER))

        assert found == shown(
            "region-a",
            "the cluster has v1 85, v2 15, and 2222222, which Argo CD last synced, says v1 90, v2 10",
            CHANGED,
            "kubectl-edit",
        )

    def test_not_brought_to_head_disagrees_since_that_commit(self) -> None:
        found = only(stack=OTHER, committed=OTHER, git=OTHER, application=parse_application(well(OLD)))

        assert found == shown(
            "region-a",
            "Argo CD last synced 1111111 with v1 90, v2 10, and HEAD says v1 85, v2 15",
            COMMITTED,
        )

    def test_ahead_of_this_clone_disagrees_since_the_newer_commit(self) -> None:
        assert only(stack=OTHER, committed=OTHER, git=OTHER, synced_at=EDITED).since == EDITED

    def test_changed_by_hand_while_not_brought_to_head_is_both(self) -> None:
        third = {"v1": 50, "v2": 50}
        found = disagreements(
            region(stack=OTHER, committed=OTHER, git=OTHER, live=live(route(third)), envoys=envoys(third))
        )

        assert [each.since for each in found] == [CHANGED, COMMITTED]

    def test_at_a_commit_that_is_not_here_is_held_against_head(self) -> None:
        found = only(synced=None, synced_at=None, live=live(route(OTHER)), envoys=envoys(OTHER))

        assert found.what == (
            "the cluster has v1 85, v2 15, HEAD says v1 90, v2 10; 2222222, which Argo CD last synced, is not in this clone"
        )

    def test_at_a_commit_that_is_not_here_agrees_where_the_weights_do(self) -> None:
        assert not disagreements(region(synced=None, synced_at=None))

    def test_without_a_virtual_service_disagrees(self) -> None:
        assert only(live=live(None)).what == (
            "there is no VirtualService in the cluster, so requests go to all pods alike"
        )

    def test_with_a_route_that_is_no_split_says_why(self) -> None:
        assert AGREED.live is not None
        assert AGREED.live.route is not None
        found = only(live=live(Route(None, AGREED.live.route.changed, "it has 2 HTTP routes")))

        assert found.what == "the VirtualService in the cluster is no split: it has 2 HTTP routes"

    def test_that_could_not_be_asked_says_nothing(self) -> None:
        assert not disagreements(region(live=None, envoys=None, application=None))


class TestDirectDelivery:
    def test_agrees_without_an_overlay(self) -> None:
        assert not disagreements(region(delivery="direct", git=None, application=None, synced=None))

    def test_is_held_against_the_stack_file_since_the_later_of_both(self) -> None:
        found = only(
            delivery="direct", stack=OTHER, committed=OTHER, git=None, application=None, synced=None, synced_at=None
        )

        assert (found.what, found.since) == (
            "the cluster has v1 90, v2 10, Pulumi.region-a.yaml says v1 85, v2 15",
            EDITED,
        )

    def test_changed_by_hand_says_by_what(self) -> None:
        found = only(
            delivery="direct",
            edited=SYNCED,
            git=None,
            application=None,
            synced=None,
            live=live(route(OTHER, "kubectl-edit")),
            envoys=envoys(OTHER),
        )

        assert (found.since, found.by) == (CHANGED, "kubectl-edit")


BOTH = frozenset({"v1", "v2"})


class TestEnvoys:
    def test_that_are_behind_are_named_since_the_change(self) -> None:
        changed = live(route(OTHER))
        late = (*envoys(WEIGHTS)[:2], *envoys(OTHER)[2:])
        found = only(stack=OTHER, committed=OTHER, git=OTHER, synced=OTHER, live=changed, envoys=late)

        assert found == shown(
            "region-a",
            f"2 of 3 Envoys route by v1 90, v2 10, and the cluster says v1 85, v2 15: {PODS[0]}, {PODS[1]}",
            CHANGED,
        )

    @pytest.mark.parametrize(
        ("envoy", "doing"),
        [
            (Envoy("a/b", None), "have no route to echo"),
            (Envoy("a/b", {"": 100}), "route by all pods alike 100, and the cluster says v1 90, v2 10"),
            (Envoy("a/b", WEIGHTS, frozenset({"v1"})), "know no pods of v2, whose share fails"),
        ],
    )
    def test_say_what_they_do_instead(self, envoy: Envoy, doing: str) -> None:
        assert only(envoys=(envoy,)).what == f"1 of 1 Envoys {doing}: a/b"

    @pytest.mark.parametrize(
        ("envoy", "doing"),
        [
            (Envoy("a/b", WEIGHTS, BOTH), "send testers to none, and the cluster says v2"),
            (Envoy("a/b", WEIGHTS, BOTH, testers=BOTH), "send testers to v1 and v2, and the cluster says v2"),
        ],
    )
    def test_say_whom_a_header_asks_for_instead(self, envoy: Envoy, doing: str) -> None:
        with_testers = live(replace(route(WEIGHTS), testers=frozenset({"v2"})))

        assert only(live=with_testers, envoys=(envoy,)).what == f"1 of 1 Envoys {doing}: a/b"

    def test_of_gateways_send_testers_where_pulumi_says(self) -> None:
        gateway = Envoy("a/b", WEIGHTS, BOTH, testers=frozenset({"v2"}), gateway=True)

        assert not disagreements(region(envoys=(gateway,)))

    def test_that_are_many_are_not_all_named(self) -> None:
        many = tuple(Envoy(f"echo/{number}", None) for number in range(5))

        assert only(envoys=many).what == "5 of 5 Envoys have no route to echo: echo/0, echo/1, echo/2 and 2 more"

    def test_that_eject_say_of_which_version(self) -> None:
        found = only(envoys=(*envoys(ejected={"v1": 1})[:2], *envoys()[2:]))

        assert found == shown("region-a", "1 of the pods of v1 is ejected by 2 of 3 Envoys")


class TestPods:
    def test_that_are_not_ready_disagree_since_the_first_of_them(self) -> None:
        waiting = (WaitingPod("b", EDITED, "NotReady"), WaitingPod("a", CHANGED, "CrashLoopBackOff"))
        found = only(live=Live(route(WEIGHTS), {"v1": Pods(3, 3), "v2": Pods(3, 1, waiting)}))

        assert found == shown("region-a", "1 of 3 pods of v2 are ready: b (NotReady), a (CrashLoopBackOff)", CHANGED)

    def test_that_are_not_there_disagree(self) -> None:
        assert only(live=Live(route(WEIGHTS), {"v1": Pods(3, 2)})).what == "2 of 3 pods of v1 are ready"


class TestArgoCd:
    def test_that_is_not_well_disagrees(self) -> None:
        assert only(application=parse_application(refused())).what == "Argo CD says OutOfSync, Healthy"

    def test_that_is_about_to_sync_is_at_work(self) -> None:
        document = well(OLD)
        document["status"]["sync"] = {"status": "OutOfSync", "revision": NEW}

        assert only(application=parse_application(document)).what == "Argo CD says OutOfSync, Healthy, and is at work"


class TestVersions:
    def test_are_those_that_anybody_names_as_people_count(self) -> None:
        found = region(
            stack={"v10": 100},
            git={"v2": 100},
            live=Live(route({"v1": 100}), {"v3": Pods(1, 1)}),
            envoys=(Envoy("a/b", {"": 100}, ejected={"v4": 1}),),
        )

        assert found.versions == ("", "v1", "v2", "v3", "v4", "v10")


def test_weights_are_told_as_people_count() -> None:
    assert told({"v10": 10, "v2": 90}) == "v2 90, v10 10"
