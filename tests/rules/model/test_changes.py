"""The model on regions as a stack file makes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rules.facts.region import Change, Region
from rules.facts.workloads import Delivery
from rules.model.changes import outage
from tests.rules.edits import with_deployment, with_subset
from tests.rules.good import Wanted, region, versions

GITOPS: Delivery = "gitops"
DIRECT: Delivery = "direct"
DELIVERIES = [GITOPS, DIRECT]


def _change(delivery: Delivery, before: dict[str, Wanted], after: dict[str, Wanted]) -> Change:
    return Change(region(wanted=before, delivery=delivery), region(wanted=after, delivery=delivery))


@pytest.mark.parametrize("delivery", [*DELIVERIES, "handover"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (versions(v1=90, v2=10), versions(v1=75, v2=25)),
        (versions(v1=90, v2=10), versions(v1=100, v2=0)),
        (versions(v1=100), versions(v1=100, v2=0)),
        (versions(v1=100, v2=0), versions(v1=90, v2=10)),
        (versions(v1=100, v2=0), versions(v1=100)),
        (versions(v1=100, v2=0), {"v1": Wanted(100), "v2": Wanted(0, replicas=0)}),
        (versions(v1=90, v2=10), {"v1": Wanted(90, replicas=1), "v2": Wanted(10, image="echo:3.0.0")}),
    ],
)
def test_a_right_change_has_no_outage(delivery: Delivery, before: dict[str, Wanted], after: dict[str, Wanted]) -> None:
    change = _change(delivery, before, after)
    assert outage(change) == ()


@pytest.mark.parametrize(("delivery", "who"), [("gitops", "Argo CD"), ("direct", "Pulumi")])
def test_a_retirement_in_one_change_is_told_with_the_share_that_is_lost(delivery: Delivery, who: str) -> None:
    story = outage(_change(delivery, versions(v1=90, v2=10), versions(v1=100)))
    assert story == (
        f"{who} applies the DestinationRule: subset v2 goes",
        "istiod pushes, and a proxy takes the clusters: v2 goes",
        "the proxy still sends 10 % of its requests to v2: 503 cluster not found",
    )


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_version_that_loses_its_pods_with_its_weight_is_told_of(delivery: Delivery) -> None:
    story = outage(_change(delivery, versions(v1=90, v2=10), {"v1": Wanted(100), "v2": Wanted(0, replicas=0)}))
    assert story[0].endswith("applies Deployment echo-v2 with 0 replicas")
    assert story[1] == "the pods of echo-v2 are gone"
    assert story[-1] == "the proxy still sends 10 % of its requests to v2: 503 no healthy upstream"


@pytest.mark.parametrize("delivery", [*DELIVERIES, "handover"])
def test_an_introduction_with_weight_is_an_outage_though_its_order_holds(delivery: Delivery) -> None:
    story = outage(_change(delivery, versions(v1=100), versions(v1=80, v2=20)))
    assert story[-1].startswith("the proxy now sends 20 % of its requests to v2: 503")


def test_no_more_is_told_to_go_wrong_than_must() -> None:
    story = outage(_change("gitops", versions(v1=100), versions(v1=80, v2=20)))
    assert any("Argo CD tries again" in step for step in story)
    assert story[-1].endswith("503 no healthy upstream")


@pytest.mark.parametrize(("rule", "service"), [(2, 2), (3, 2), (0, 0)])
def test_the_waves_are_those_of_the_objects(rule: int, service: int) -> None:
    change = _change("gitops", versions(v1=100), versions(v1=80, v2=20))
    assert change.after is not None
    story = outage(replace(change, after=_with_waves(change.after, rule, service)))
    assert not any("tries again" in step for step in story)


def test_a_wave_of_a_deployment_counts() -> None:
    change = _change("gitops", versions(v1=100), versions(v1=80, v2=20))
    assert change.after is not None
    late = replace(
        change.after.workloads,
        deployments=tuple(replace(each, wave=2) for each in change.after.workloads.deployments),
    )
    story = outage(replace(change, after=replace(change.after, workloads=late)))
    assert not any("tries again" in step for step in story)


def test_waves_mean_nothing_to_pulumi() -> None:
    change = _change("direct", versions(v1=100), versions(v1=80, v2=20))
    assert change.after is not None
    assert outage(replace(change, after=_with_waves(change.after, 3, 2))) == outage(change)


@pytest.mark.parametrize(
    ("before", "after", "safe"),
    [
        ("direct", "direct", True),
        ("gitops", "gitops", False),
        ("handover", "handover", False),
        ("direct", "handover", False),
        ("handover", "direct", False),
        ("gitops", "handover", False),
        ("gitops", "direct", False),
        ("direct", "gitops", False),
    ],
)
def test_a_change_is_safe_if_it_is_by_all_who_deliver_before_or_after_it(
    before: Delivery, after: Delivery, safe: bool
) -> None:
    """Argo CD prunes a Deployment that is replaced in a second attempt, whether or not the new one is ready; Pulumi never does."""
    old = region(delivery=before)
    new = with_deployment(region(delivery=after), "v2", lambda v2: replace(v2, id=replace(v2.id, name="echo-v2-new")))
    assert (not outage(Change(old, new))) == safe


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_subset_may_move_to_pods_that_were_there(delivery: Delivery) -> None:
    before = region(delivery=delivery)
    after = with_subset(with_subset(before, "v1", {"version": "v2"}), "v2", {"version": "v1"})
    assert not outage(Change(before, after))


def test_a_subset_that_moves_to_pods_that_come_is_told_without_a_deletion() -> None:
    before = region(wanted={**versions(v1=90, v2=10), "v3": Wanted(0, replicas=0)})
    after = with_subset(region(wanted=versions(v1=90, v2=10, v3=0)), "v2", {"version": "v3"})
    story = outage(Change(before, with_subset(after, "v3", {"version": "v2"})))
    assert story[2:4] == (
        "Argo CD applies what takes the pods of echo-v2 out of subset v2",
        "the pods of echo-v2 are no longer those of its subset",
    )


def test_what_both_may_do_is_told_of_the_one_who_needs_less_to_go_wrong() -> None:
    change = _change("handover", versions(v1=100), versions(v1=80, v2=20))
    assert change.after is not None
    story = outage(replace(change, after=_with_waves(change.after, 3, 2)))
    assert story[0].startswith("Argo CD")


def test_a_version_that_failed_before_the_change_is_not_its_doing() -> None:
    broken = {"v1": Wanted(90), "v2": Wanted(10, replicas=0)}
    assert outage(_change("gitops", broken, versions(v1=100, v2=0))) == ()
    worse = outage(_change("gitops", broken, {"v3": Wanted(100)}))
    assert "requests to v1: 503" in worse[-1]


def test_a_version_that_failed_before_the_change_hides_no_other() -> None:
    broken = {"v1": Wanted(90), "v2": Wanted(10, replicas=0)}
    story = outage(_change("gitops", broken, {"v1": Wanted(80), "v2": Wanted(10, replicas=0), "v3": Wanted(10)}))
    assert "requests to v3: 503" in story[-1]


def test_a_region_that_comes_or_goes_is_no_change_of_its_requests() -> None:
    good = region()
    assert not outage(Change(None, good))
    assert not outage(Change(good, None))


def _with_waves(good: Region, rule: int, service: int) -> Region:
    return replace(
        good,
        workloads=replace(
            good.workloads,
            destination_rules=tuple(replace(each, wave=rule) for each in good.workloads.destination_rules),
            virtual_services=tuple(replace(each, wave=service) for each in good.workloads.virtual_services),
        ),
    )
