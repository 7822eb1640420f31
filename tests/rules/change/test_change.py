from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from rules.catalogue import CHANGE
from rules.facts.region import Change, Limits, Region
from rules.facts.windows import RecurringWindow
from rules.facts.workloads import Delivery, Deployment
from rules.finding import Violation
from rules.model.changes import outage
from tests.rules.edits import with_deployment, with_subset, with_waves
from tests.rules.good import Wanted, region, versions

DELIVERIES: tuple[Delivery, ...] = ("gitops", "direct", "handover")
BY_ID = {rule.id: rule for rule in CHANGE}


def told(rule_id: str, change: Change) -> list[Violation]:
    return list(BY_ID[rule_id].check(change))


def change(
    before: Mapping[str, Wanted],
    after: Mapping[str, Wanted],
    *,
    delivery: Delivery = "gitops",
    limits: Limits | None = None,
    proven: Mapping[str, frozenset[str]] | None = None,
) -> Change:
    return Change(
        region(wanted=before, delivery=delivery, limits=limits or Limits()),
        region(wanted=after, delivery=delivery, limits=limits or Limits()),
        proven or {},
    )


def relabelled(deployment: Deployment) -> Deployment:
    return replace(deployment, labels={"app": "echo", "version": "2"})


def renamed(deployment: Deployment) -> Deployment:
    return replace(deployment, id=replace(deployment.id, name=f"{deployment.id.name}-new"))


def with_second_deployment(of: Region, first: int, second: int) -> Region:
    """The region with two Deployments for v2 that have this many pods."""
    v2 = of.workloads.deployments[1]
    another = replace(v2, id=replace(v2.id, name="echo-v2-new"), replicas=second)
    deployments = (of.workloads.deployments[0], replace(v2, replicas=first), another)
    return replace(of, workloads=replace(of.workloads, deployments=deployments))


class TestRemovedOnlyWhenIdle:
    ID = "removed-only-when-idle"

    @pytest.mark.parametrize("delivery", ["gitops", "direct", "handover"])
    def test_refuses_a_version_that_goes_with_its_weight(self, delivery: Delivery) -> None:
        assert len(told(self.ID, change(versions(v1=90, v2=10), versions(v1=100), delivery=delivery))) == 1

    def test_refuses_a_version_that_gives_up_pods_with_its_weight(self) -> None:
        found = told(self.ID, change(versions(v1=90, v2=10), {"v1": Wanted(100), "v2": Wanted(0, replicas=0)}))

        assert [each.where for each in found] == ["Deployment echo/echo-v2: spec.replicas"]

    def test_refuses_a_version_that_gives_up_pods_and_keeps_its_weight(self) -> None:
        assert told(self.ID, change(versions(v1=90, v2=10), {"v1": Wanted(90), "v2": Wanted(10, replicas=0)}))

    def test_refuses_a_subset_that_goes_with_its_weight(self) -> None:
        before, after = region(wanted=versions(v1=90, v2=10)), region(wanted=versions(v1=100, v2=0))

        found = told(self.ID, Change(before, with_subset(after, "v2", None)))

        assert [each.where for each in found] == ["DestinationRule echo/echo: spec.subsets"]

    def test_refuses_a_subset_whose_labels_come_to_match_no_pod(self) -> None:
        before = region()

        found = told(self.ID, Change(before, with_subset(before, "v2", {"version": "2"})))

        assert [each.where for each in found] == ["DestinationRule echo/echo: spec.subsets[v2].labels"]

    def test_refuses_pods_whose_labels_leave_their_subset(self) -> None:
        before = region()

        found = told(self.ID, Change(before, with_deployment(before, "v2", relabelled)))

        assert [each.where for each in found] == ["Deployment echo/echo-v2: spec.template.metadata.labels"]

    def test_refuses_labels_that_change_in_pods_and_subset_together(self) -> None:
        before = region()
        after = with_subset(with_deployment(before, "v2", relabelled), "v2", {"version": "2"})

        assert told(self.ID, Change(before, after))

    def test_refuses_pods_that_are_to_be_replaced_by_some_that_are_not_ready_yet(self) -> None:
        before, after = with_second_deployment(region(), first=3, second=0), with_second_deployment(region(), 0, 3)

        assert told(self.ID, Change(before, after))

    @pytest.mark.parametrize(
        ("delivery", "following"), [("gitops", "gitops"), ("handover", "handover"), ("gitops", "direct")]
    )
    def test_refuses_a_deployment_that_argo_cd_may_prune_before_another_is_ready(
        self, delivery: Delivery, following: Delivery
    ) -> None:
        after = with_deployment(region(delivery=following), "v2", renamed)

        assert told(self.ID, Change(region(delivery=delivery), after))

    def test_allows_a_deployment_that_pulumi_deletes_when_another_is_ready(self) -> None:
        before = region(delivery="direct")

        assert not told(self.ID, Change(before, with_deployment(before, "v2", renamed)))

    def test_allows_a_deployment_to_go_that_another_stood_beside(self) -> None:
        before = with_second_deployment(region(), first=3, second=3)

        assert not told(self.ID, Change(before, with_deployment(before, "v2", lambda _: None)))

    def test_refuses_an_introduction_that_is_reverted(self) -> None:
        introduced, not_yet = versions(v1=90, v2=5, v3=5), versions(v1=95, v2=5)

        assert told(self.ID, change(introduced, not_yet))

    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_refuses_a_version_that_goes_with_its_testers(self, delivery: Delivery) -> None:
        asked = {"v1": Wanted(100), "v2": Wanted(0, testers=True)}

        (found,) = told(self.ID, change(asked, versions(v1=100), delivery=delivery))

        assert found.where == "DestinationRule echo/echo: spec.subsets"
        assert found.what.endswith("in the change that finds v2 with the requests of testers")
        assert outage(change(asked, versions(v1=100), delivery=delivery))

    def test_refuses_pods_that_go_with_their_testers(self) -> None:
        asked = {"v1": Wanted(100), "v2": Wanted(0, testers=True)}

        assert told(self.ID, change(asked, {"v1": Wanted(100), "v2": Wanted(0, replicas=0)}))

    def test_allows_what_testers_asked_for_to_go_once_their_route_is_gone(self) -> None:
        asked, idle = {"v1": Wanted(100), "v2": Wanted(0, testers=True)}, versions(v1=100, v2=0)

        for step in (change(asked, idle), change(idle, versions(v1=100))):
            assert not told(self.ID, step)
            assert outage(step) == ()

    def test_leads_the_way_without_testers(self) -> None:
        asked = {"v1": Wanted(100), "v2": Wanted(0, testers=True)}

        (found,) = told(self.ID, change(asked, versions(v1=100)))

        assert found.steps == (
            "set testers: false for v2 and leave everything else of it as it is; rollout render, commit, push",
            "wait until that is delivered and measured: rollout verify --region region-a holds",
            "then make this change; rollout render, commit, push",
        )

    def test_leads_the_way_of_what_had_both_by_its_weight_and_then_by_its_testers(self) -> None:
        asked = {"v1": Wanted(90), "v2": Wanted(10, testers=True)}
        idle = {"v1": Wanted(100), "v2": Wanted(0, testers=True)}

        (first,) = told(self.ID, change(asked, versions(v1=100)))
        (second,) = told(self.ID, change(idle, versions(v1=100)))

        assert first.steps[0].startswith("set the weights to v1 100, v2 0")
        assert second.steps[0].startswith("set testers: false for v2")

    def test_allows_what_had_weight_0_to_go_whole(self) -> None:
        assert not told(self.ID, change(versions(v1=100, v2=0), versions(v1=100)))

    def test_allows_what_had_weight_0_to_give_up_its_pods(self) -> None:
        assert not told(self.ID, change(versions(v1=100, v2=0), {"v1": Wanted(100), "v2": Wanted(0, replicas=0)}))

    def test_allows_requests_to_be_taken_away(self) -> None:
        assert not told(self.ID, change(versions(v1=90, v2=10), versions(v1=100, v2=0)))

    def test_allows_fewer_pods(self) -> None:
        assert not told(self.ID, change(versions(v1=90, v2=10), {"v1": Wanted(90), "v2": Wanted(10, replicas=1)}))

    def test_allows_a_broken_version_to_be_mended(self) -> None:
        good = region()

        assert not told(self.ID, Change(with_subset(good, "v2", None), region(wanted=versions(v1=100))))

    def test_leads_the_way_in_two_commits(self) -> None:
        (found,) = told(self.ID, change(versions(v1=60, v2=30, v3=10), versions(v1=70, v3=30)))

        assert found.steps == (
            "set the weights to v1 70, v2 0, v3 30 and leave everything else of v2 as it is; rollout render, commit, push",
            "wait until that is delivered and measured: rollout verify --region region-a holds",
            "then remove v2; rollout render, commit, push",
        )

    def test_leads_the_way_of_a_version_that_stays_with_its_weight_given_back(self) -> None:
        before = region()

        (found,) = told(self.ID, Change(before, with_deployment(before, "v2", relabelled)))

        assert found.steps[0].startswith("set the weight of v2 to 0, give what it had to others")
        assert found.steps[-1] == "then give v2 its weight back, if it is to have one; rollout render, commit, push"

    def test_leads_the_way_by_pulumi_where_that_delivers(self) -> None:
        (found,) = told(self.ID, change(versions(v1=90, v2=10), versions(v1=100), delivery="direct"))

        assert found.steps[2] == "then remove v2; commit, pulumi up -s region-a"

    def test_tells_of_each_version_once(self) -> None:
        found = told(self.ID, change(versions(v1=80, v2=10, v3=10), versions(v1=100)))

        assert [each.what for each in found] == [
            "the subset v2 goes and the Deployment echo-v2 goes in the change that finds v2 with 10 % of the requests",
            "the subset v3 goes and the Deployment echo-v3 goes in the change that finds v3 with 10 % of the requests",
        ]


class TestIntroducedIdle:
    ID = "introduced-idle"
    WITHOUT = versions(v1=100)
    WITH = versions(v1=90, v2=10)

    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_refuses_a_version_that_comes_with_weight(self, delivery: Delivery) -> None:
        (found,) = told(self.ID, change(self.WITHOUT, self.WITH, delivery=delivery))

        assert (found.where, found.what) == (
            "VirtualService echo/echo: spec.http",
            "v2 gets its first 10 % of the requests in the change that brings all that it has",
        )

    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_refuses_requests_with_the_first_pods(self, delivery: Delivery) -> None:
        (found,) = told(self.ID, change({"v1": Wanted(100), "v2": Wanted(0, replicas=0)}, self.WITH, delivery=delivery))

        assert found.what.endswith("brings the pods of its subset")

    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_refuses_requests_with_the_subset(self, delivery: Delivery) -> None:
        before = with_subset(region(wanted=versions(v1=100, v2=0), delivery=delivery), "v2", None)

        (found,) = told(self.ID, Change(before, region(delivery=delivery)))

        assert found.what.endswith("brings the subset v2")

    @pytest.mark.parametrize(("delivery", "refused"), [("gitops", True), ("handover", True), ("direct", False)])
    def test_refuses_requests_with_a_deployment_that_argo_cd_puts_in_the_place_of_another(
        self, delivery: Delivery, refused: bool
    ) -> None:
        before = region(wanted=versions(v1=100, v2=0), delivery=delivery)

        found = told(self.ID, Change(before, with_deployment(region(delivery=delivery), "v2", renamed)))

        assert bool(found) == refused

    def test_refuses_requests_with_other_labels_of_pods_and_subset(self) -> None:
        after = with_subset(with_deployment(region(), "v2", relabelled), "v2", {"version": "2"})

        assert told(self.ID, Change(region(wanted=versions(v1=100, v2=0)), after))

    def test_refuses_whatever_the_waves_are(self) -> None:
        assert told(self.ID, Change(region(wanted=self.WITHOUT), with_waves(region(), 0, 5, 9)))

    def test_refuses_the_return_of_a_version_that_is_gone(self) -> None:
        proven = {"v1": frozenset({"registry.corp.local/echo:1.0.0"})}

        assert told(self.ID, change(versions(v2=100), versions(v1=100, v2=0), proven=proven))

    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_allows_a_version_without_requests(self, delivery: Delivery) -> None:
        assert not told(self.ID, change(self.WITHOUT, versions(v1=100, v2=0), delivery=delivery))

    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_allows_a_version_that_comes_with_its_testers(self, delivery: Delivery) -> None:
        asked = {"v1": Wanted(100), "v2": Wanted(0, testers=True)}

        assert not told(self.ID, change(self.WITHOUT, asked, delivery=delivery))
        assert outage(change(self.WITHOUT, asked, delivery=delivery)) == ()

    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_allows_the_first_requests_to_what_was_there(self, delivery: Delivery) -> None:
        assert not told(self.ID, change(versions(v1=100, v2=0), self.WITH, delivery=delivery))

    def test_allows_the_first_requests_together_with_other_pods_of_the_same_deployment(self) -> None:
        after = {"v1": Wanted(90), "v2": Wanted(10, replicas=5, image="registry.corp.local/echo:2.0.1")}

        assert not told(self.ID, change(versions(v1=100, v2=0), after))

    def test_allows_more_weight(self) -> None:
        assert not told(self.ID, change(self.WITH, versions(v1=75, v2=25)))

    def test_allows_a_broken_version_to_be_mended(self) -> None:
        assert not told(self.ID, Change(with_subset(region(), "v2", None), region()))

    def test_leaves_a_version_without_pods_to_another_rule(self) -> None:
        assert not told(self.ID, change(self.WITHOUT, {"v1": Wanted(90), "v2": Wanted(10, replicas=0)}))

    def test_allows_a_region_that_comes(self) -> None:
        assert not told(self.ID, Change(None, region()))

    def test_leads_the_way_in_two_commits(self) -> None:
        (found,) = told(self.ID, change(self.WITH, versions(v1=85, v2=10, v3=5)))

        assert found.steps == (
            "leave the weights at v1 90, v2 10, v3 0 and make the rest of this change; rollout render, commit, push",
            "wait until that is delivered and measured: rollout verify --region region-a holds",
            "then set the weight of v3 to 5; rollout render, commit, push",
        )

    def test_leads_the_way_where_the_weights_cannot_stay(self) -> None:
        (found,) = told(self.ID, change(self.WITH, versions(v1=90, v3=10), delivery="direct"))

        assert found.steps[0] == (
            "make this change with weight 0 for v3, and give its 10 % to others; commit, pulumi up -s region-a"
        )


class TestIncreaseLimited:
    ID = "increase-limited"

    @pytest.mark.parametrize(("before", "after"), [(0, 51), (10, 61), (49, 100), (0, 100)])
    def test_refuses_more_than_50_points(self, before: int, after: int) -> None:
        given = change(
            versions(v1=100 - before, v2=before), versions(v1=100 - after, v2=after), limits=Limits(stable="v1")
        )

        assert len(told(self.ID, given)) == 1

    @pytest.mark.parametrize(("before", "after"), [(0, 50), (10, 60), (50, 100), (60, 60), (100, 1), (60, 0)])
    def test_allows_50_points_and_every_decrease(self, before: int, after: int) -> None:
        given = change(
            versions(v1=100 - before, v2=before), versions(v1=100 - after, v2=after), limits=Limits(stable="v1")
        )

        assert not told(self.ID, given)

    def test_counts_a_version_that_comes_from_0(self) -> None:
        assert told(self.ID, change(versions(v1=100), versions(v1=49, v2=51)))

    def test_allows_the_stable_version_to_take_everything_back(self) -> None:
        assert not told(self.ID, change(versions(v1=10, v2=90), versions(v1=100, v2=0)))

    def test_does_not_take_the_stable_version_with_another_image_for_it(self) -> None:
        after = {"v1": Wanted(100, image="registry.corp.local/echo:1.1.0"), "v2": Wanted(0)}

        assert told(self.ID, change(versions(v1=10, v2=90), after))

    def test_allows_the_return_to_what_had_all_requests(self) -> None:
        before, after = versions(v1=0, v2=90, v3=10), versions(v1=100, v2=0, v3=0)
        proven = {"v1": frozenset({"registry.corp.local/echo:1.0.0"})}

        assert told(self.ID, change(before, after))
        assert not told(self.ID, change(before, after, proven=proven))

    def test_does_not_take_another_image_for_what_had_all_requests(self) -> None:
        proven = {"v1": frozenset({"registry.corp.local/echo:0.9.0"})}

        assert told(self.ID, change(versions(v1=0, v2=100), versions(v1=100, v2=0), proven=proven))

    def test_does_not_take_a_version_without_pods_for_what_had_all_requests(self) -> None:
        after = with_deployment(region(wanted=versions(v1=0, v2=100)), "v2", lambda _: None)

        assert told(self.ID, Change(region(), after))

    def test_goes_by_the_limit_before_the_change(self) -> None:
        before = region(limits=Limits(largest_increase=10))
        after = region(wanted=versions(v1=75, v2=25), limits=Limits(largest_increase=100))

        assert told(self.ID, Change(before, after))

    def test_goes_by_the_stable_version_before_the_change(self) -> None:
        before = region(limits=Limits(stable="v1"))
        after = region(wanted=versions(v1=0, v2=100), limits=Limits(stable="v2"))

        assert told(self.ID, Change(before, after))

    def test_leads_the_way_in_as_few_steps_as_may_be(self) -> None:
        before, after = region(limits=Limits(largest_increase=25)), region(wanted=versions(v1=30, v2=70))

        (found,) = told(self.ID, Change(before, after))

        assert found.steps == (
            "set the weight of v2 to 30; rollout render, commit, push",
            "wait until that is delivered and measured: rollout verify --region region-a holds",
            "set the weight of v2 to 50; rollout render, commit, push",
            "wait until that is delivered and measured: rollout verify --region region-a holds",
            "set the weight of v2 to 70; rollout render, commit, push",
        )

    def test_leads_the_way_in_no_more_steps_than_the_limit_asks_for(self) -> None:
        before, after = region(limits=Limits(largest_increase=25)), region(wanted=versions(v1=40, v2=60))

        (found,) = told(self.ID, Change(before, after))

        assert [step for step in found.steps if step.startswith("set")] == [
            "set the weight of v2 to 35; rollout render, commit, push",
            "set the weight of v2 to 60; rollout render, commit, push",
        ]


class TestImageChangedUnderRequests:
    ID = "image-changed-under-requests"
    OTHER = "registry.corp.local/echo:2.0.1"

    def test_warns_of_another_image_of_a_version_with_requests(self) -> None:
        found = told(self.ID, change(versions(v1=90, v2=10), {"v1": Wanted(90), "v2": Wanted(10, image=self.OTHER)}))

        assert [each.what for each in found] == [
            "registry.corp.local/echo:2.0.0 → registry.corp.local/echo:2.0.1 while v2 has 10 % of the requests"
        ]

    def test_warns_also_where_the_weight_goes_in_the_same_change(self) -> None:
        assert told(self.ID, change(versions(v1=90, v2=10), {"v1": Wanted(100), "v2": Wanted(0, image=self.OTHER)}))

    def test_allows_it_without_requests(self) -> None:
        after = {"v1": Wanted(90), "v2": Wanted(10, image=self.OTHER)}

        assert not told(self.ID, change(versions(v1=100, v2=0), after))

    def test_allows_the_return_to_an_image_that_had_all_requests(self) -> None:
        after = {"v1": Wanted(90), "v2": Wanted(10, image=self.OTHER)}

        assert not told(self.ID, change(versions(v1=90, v2=10), after, proven={"v2": frozenset({self.OTHER})}))


class TestSelectorUnchanged:
    ID = "selector-unchanged"

    def test_refuses_another_selector(self) -> None:
        before = region()
        after = with_deployment(before, "v2", lambda v2: replace(v2, selector={"app": "echo"}))

        assert [each.what for each in told(self.ID, Change(before, after))] == [
            "{'app': 'echo', 'version': 'v2'} → {'app': 'echo'}"
        ]

    def test_allows_a_deployment_that_comes(self) -> None:
        assert not told(self.ID, change(versions(v1=100), versions(v1=90, v2=10)))


class TestDelivery:
    @pytest.mark.parametrize(("old", "new"), [("gitops", "direct"), ("direct", "gitops")])
    def test_a_plain_switch_is_refused(self, old: Delivery, new: Delivery) -> None:
        assert told("delivery-changed-by-handover", Change(region(delivery=old), region(delivery=new)))

    @pytest.mark.parametrize(
        ("old", "new"),
        [("gitops", "handover"), ("handover", "gitops"), ("direct", "handover"), ("handover", "direct")],
    )
    def test_a_switch_by_way_of_handover_is_allowed(self, old: Delivery, new: Delivery) -> None:
        assert not told("delivery-changed-by-handover", Change(region(delivery=old), region(delivery=new)))

    def test_a_handover_that_changes_workloads_is_a_warning(self) -> None:
        after = region(wanted=versions(v1=75, v2=25), delivery="handover")

        assert told("handed-over-unchanged", Change(region(), after))

    def test_a_handover_of_the_same_workloads_is_allowed(self) -> None:
        assert not told("handed-over-unchanged", Change(region(), region(delivery="handover")))

    def test_other_workloads_from_the_same_hand_are_allowed(self) -> None:
        assert not told("handed-over-unchanged", change(versions(v1=90, v2=10), versions(v1=75, v2=25)))


class TestRegionRemoved:
    def test_refuses_a_region_that_goes(self) -> None:
        assert [each.where for each in told("region-removed", Change(region(), None, region_goes=True))] == [
            "stack file"
        ]

    @pytest.mark.parametrize("before", [None, region()])
    def test_allows_a_region_that_comes_or_stays(self, before: Region | None) -> None:
        assert not told("region-removed", Change(before, region()))


class TestServiceRemoved:
    ID = "service-removed"

    def test_refuses_a_service_that_goes(self) -> None:
        (found,) = told(self.ID, Change(region(service="web"), None))

        assert found.where == "$.services.web"
        assert found.steps[-1].startswith("then remove it and its overlay; commit, pulumi up -s region-a")

    def test_leaves_a_region_that_goes_to_another_rule(self) -> None:
        assert not told(self.ID, Change(region(), None, region_goes=True))
        assert not told("region-removed", Change(region(), None))

    @pytest.mark.parametrize("before", [None, region()])
    def test_allows_a_service_that_comes_or_stays(self, before: Region | None) -> None:
        assert not told(self.ID, Change(before, region()))


class TestLimitsLoosened:
    ID = "limits-loosened"
    OF_SERVICE = "service-limits-loosened"

    @pytest.mark.parametrize(
        ("after", "where"),
        [
            (Limits(largest_increase=51), "$.rules.largestIncrease"),
            (Limits(introduce_together=True), "$.rules.introduceTogether"),
            (Limits(immutable_tags=(*Limits().immutable_tags, "stable")), "$.rules.immutableTags"),
            (Limits(may_differ=(*Limits().may_differ, "istio.version")), "$.rules.mayDiffer"),
            (Limits(waived={"increase-limited": "a drill"}), "$.rules.waived.increase-limited"),
        ],
    )
    def test_names_what_allows_more(self, after: Limits, where: str) -> None:
        assert [each.where for each in told(self.ID, Change(region(), region(limits=after)))] == [where]

    @pytest.mark.parametrize(
        ("after", "where"),
        [
            (Limits(pods_for_all_traffic=2), "$.services.echo.podsForAllTraffic"),
            (Limits(stable="v2"), "$.services.echo.stable"),
        ],
    )
    def test_names_what_allows_more_for_one_service(self, after: Limits, where: str) -> None:
        assert [each.where for each in told(self.OF_SERVICE, Change(region(), region(limits=after)))] == [where]

    @pytest.mark.parametrize(
        "before",
        [
            Limits(largest_increase=51),
            Limits(introduce_together=True),
            Limits(immutable_tags=(*Limits().immutable_tags, "stable")),
            Limits(may_differ=(*Limits().may_differ, "istio.version")),
            Limits(waived={"increase-limited": "a drill"}),
            Limits(pods_for_all_traffic=2),
            Limits(stable="v2"),
        ],
    )
    def test_allows_less(self, before: Limits) -> None:
        change = Change(region(limits=before), region())

        assert not told(self.ID, change) + told(self.OF_SERVICE, change)

    def test_names_a_window_of_a_freeze_that_goes(self) -> None:
        nights, weekends = (
            RecurringWindow("0 20 * * *", "10h"),
            RecurringWindow("0 18 * * 5", "62h", reason="nobody is at work"),
        )
        before, after = (region(limits=Limits(freeze=each)) for each in ((nights, weekends), (nights,)))

        (found,) = told(self.ID, Change(before, after))

        assert (found.where, found.what) == (
            "$.rules.freeze",
            "fewer windows: without 0 18 * * 5 for 62h (nobody is at work)",
        )
        assert not told(self.ID, Change(after, before))

    def test_allows_more_pods_for_all_traffic(self) -> None:
        assert not told(self.OF_SERVICE, Change(region(), region(limits=Limits(pods_for_all_traffic=3))))

    def test_allows_the_version_that_has_all_requests_to_become_the_stable_one(self) -> None:
        wanted = versions(v1=0, v2=100)
        before, after = (
            region(wanted=wanted, limits=Limits(stable="v1")),
            region(wanted=wanted, limits=Limits(stable="v2")),
        )

        assert not told(self.OF_SERVICE, Change(before, after))

    def test_allows_a_version_that_had_all_requests_to_become_the_stable_one(self) -> None:
        proven = {"v2": frozenset({"registry.corp.local/echo:2.0.0"})}

        assert not told(self.OF_SERVICE, Change(region(), region(limits=Limits(stable="v2")), proven))


def test_a_region_that_comes_passes_every_rule() -> None:
    new = with_waves(region(wanted=versions(v1=0, v2=100)), 0, 0, 0)

    assert [rule.id for rule in CHANGE if list(rule.check(Change(None, new)))] == []


def test_a_change_of_nothing_passes_every_rule() -> None:
    assert [rule.id for rule in CHANGE if list(rule.check(Change(region(), region())))] == []
