from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import MappingProxyType

import pytest

from rules.facts.region import Change, Limits, Region
from rules.facts.workloads import Delivery, Unreadable
from rules.finding import Finding, Severity
from rules.judgement import judge, judge_region
from tests.rules.edits import with_settings, with_subset
from tests.rules.good import Wanted, region, versions

RETIREMENT = "removed-only-when-idle"


def in_short(findings: tuple[Finding, ...]) -> list[tuple[str, str, Severity]]:
    return [(each.rule_id, each.region, each.severity) for each in findings]


def kept(name: str, limits: Limits | None = None) -> Change:
    return Change(region(name, limits=limits or Limits()), region(name, limits=limits or Limits()))


def without_routes(of: Region) -> Region:
    """A region in which no version is routed to its subset: the subsets are gone."""
    rules = tuple(replace(each, subsets=()) for each in of.workloads.destination_rules)
    return replace(of, workloads=replace(of.workloads, destination_rules=rules))


def refused(findings: tuple[Finding, ...]) -> set[str]:
    return {each.rule_id for each in findings if each.severity is Severity.REFUSED}


@pytest.mark.parametrize("delivery", ["gitops", "direct", "handover"])
def test_a_good_region_has_no_findings(delivery: Delivery) -> None:
    assert judge_region([region(delivery=delivery)]) == ()


def test_a_bad_region_has_findings() -> None:
    assert refused(judge_region([without_routes(region())]))


def test_a_change_of_nothing_has_no_findings() -> None:
    assert judge([kept("region-a"), kept("region-b")]) == ()


def test_a_finding_says_what_its_rule_says() -> None:
    (found,) = judge([Change(region(), region(wanted=versions(v1=100)))])

    assert str(found) == (
        "region-a: DestinationRule echo/echo: spec.subsets: the subset v2 goes and the Deployment echo-v2 goes in the change "
        "that finds v2 with 10 % of the requests — the subset and the pods go before every proxy knows the new routes, and "
        "whoever still routes there gets 503; take the weight away in one commit, and the rest in the next "
        "[removed-only-when-idle]\n"
        "  step 1: set the weights to v1 100, v2 0 and leave everything else of v2 as it is; rollout render, commit, push\n"
        "  step 2: wait until that is delivered and measured: rollout verify --region region-a holds\n"
        "  step 3: then remove v2; rollout render, commit, push"
    )


def test_a_region_that_stays_as_it_is_is_judged_too() -> None:
    bad = without_routes(region())

    assert refused(judge([Change(bad, bad)])) == refused(judge_region([bad]))


def test_what_is_refused_comes_first_and_then_the_regions_in_order() -> None:
    image = {"v1": Wanted(90), "v2": Wanted(10, image="registry.corp.local/echo:2.0.1")}
    found = judge(
        [
            Change(region("region-c"), region("region-c", versions(v1=100))),
            Change(region("region-a"), region("region-a", image)),
            Change(region("region-b"), region("region-b", versions(v1=100))),
        ]
    )

    assert in_short(found)[:3] == [
        (RETIREMENT, "region-b", Severity.REFUSED),
        (RETIREMENT, "region-c", Severity.REFUSED),
        ("image-changed-under-requests", "region-a", Severity.WARNING),
    ]


def test_regions_may_be_given_in_any_order() -> None:
    changes = [Change(region(name, versions(v1=100)), region(name)) for name in ("region-b", "region-a", "region-c")]

    assert judge(changes) == judge(list(reversed(changes)))


web = partial(region, service="web")


def by_service(findings: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    return [(each.region, each.service, each.rule_id) for each in findings]


class TestServices:
    """Two services of a region that have versions of the same names."""

    def test_in_order_have_no_findings(self) -> None:
        assert judge_region([region(), web()]) == ()
        assert judge([kept("region-a"), Change(web(), web())]) == ()

    @pytest.mark.parametrize("bad", ["echo", "web"])
    def test_one_has_the_findings_of_its_own_fault_alone(self, bad: str) -> None:
        services = [without_routes(each) if each.service == bad else each for each in (region(), web())]

        found = judge_region(services)

        assert found
        assert {(each.region, each.service) for each in found} == {("region-a", bad)}

    def test_a_version_that_goes_from_one_is_missed_though_the_other_has_one_of_its_name(self) -> None:
        retired = Change(web(), web(wanted=versions(v1=100)))

        assert by_service(judge([kept("region-a"), retired])) == [("region-a", "web", RETIREMENT)]

    def test_a_version_may_start_in_one_here_and_in_the_other_elsewhere(self) -> None:
        idle, started = versions(v1=100, v2=0), versions(v1=90, v2=10)

        found = judge(
            [
                Change(region("region-a", idle), region("region-a", started)),
                Change(web("region-a", idle), web("region-a", idle)),
                Change(region("region-b", idle), region("region-b", idle)),
                Change(web("region-b", idle), web("region-b", started)),
            ]
        )

        assert found == ()

    def test_each_is_told_of_what_it_does_in_all_of_three_regions(self) -> None:
        before, after = versions(v1=90, v2=10), versions(v1=75, v2=25)
        names = ("region-a", "region-b", "region-c")

        found = judge([Change(make(it, before), make(it, after)) for make in (region, web) for it in names])

        assert by_service(found) == [
            ("region-b", "echo", "raised-in-one-region"),
            ("region-b", "web", "raised-in-one-region"),
        ]
        assert {each.what for each in found} == {
            "region-a (v2 10 % → 25 %), region-b (v2 10 % → 25 %) and region-c (v2 10 % → 25 %) at once"
        }
        assert [each.where for each in found] == ["versions of echo", "versions of web"]

    @pytest.mark.parametrize(
        ("after", "told"),
        [
            (region(wanted=versions(v1=100)), {RETIREMENT}),
            (region(wanted={**versions(v1=90, v2=5), "v3": Wanted(5, replicas=0)}), {"weighted-version-has-pods"}),
        ],
    )
    def test_simpler_words_for_one_do_not_silence_the_model_on_the_other(self, after: Region, told: set[str]) -> None:
        resting = {**versions(v1=90, v2=10), "v3": Wanted(0, replicas=0)}
        moved = with_subset(web(wanted=versions(v1=90, v2=10, v3=0)), "v2", {"version": "v3"})
        moved = with_subset(moved, "v3", {"version": "v2"})

        found = judge([Change(region(), after), Change(web(wanted=resting), moved)])

        assert refused(tuple(each for each in found if each.service == "echo")) == told
        assert refused(tuple(each for each in found if each.service == "web")) == {"make-before-break"}

    def test_waivers_are_those_of_the_region_for_each(self) -> None:
        limits = Limits(waived={RETIREMENT: "nobody asks them", "make-before-break": "nobody asks them"})
        retired = versions(v1=100)

        found = judge([Change(make(limits=limits), make(wanted=retired, limits=limits)) for make in (region, web)])

        assert {each.service for each in found} == {"echo", "web"}
        assert refused(found) == set()


class TestTheWholeRegion:
    """What is of no single service is told once, whichever services there are."""

    NEXT = MappingProxyType({"istio__version": "1.33.0"})
    JUMP = ("region-a", "", "istio-one-minor-at-a-time")

    def test_is_judged_by_itself_once(self) -> None:
        bad = [
            with_settings(each, argocd__manifest="http://mirror.corp.local/install.yaml") for each in (region(), web())
        ]

        assert by_service(judge_region(bad)) == [("region-a", "", "sources-encrypted")]

    def test_is_told_of_once_where_all_services_stay(self) -> None:
        found = judge([Change(each, with_settings(each, **self.NEXT)) for each in (region(), web())])

        assert by_service(found) == [self.JUMP]

    @pytest.mark.parametrize("new", ["app", "web"])
    def test_is_told_of_once_where_a_service_is_new(self, new: str) -> None:
        """Whatever the order of their names."""
        comes = with_settings(region(service=new), **self.NEXT)

        found = judge([Change(region(), with_settings(region(), **self.NEXT)), Change(None, comes)])

        assert by_service(found) == [self.JUMP]

    @pytest.mark.parametrize("new", ["app", "web"])
    def test_is_told_of_where_the_only_service_gives_way_to_another(self, new: str) -> None:
        comes = with_settings(region(service=new), **self.NEXT)

        found = judge([Change(region(), None), Change(None, comes)])

        assert by_service(found) == [self.JUMP, ("region-a", "echo", "service-removed")]

    @pytest.mark.parametrize("new", ["app", "web"])
    def test_goes_by_the_waivers_before_though_a_service_is_new(self, new: str) -> None:
        limits = Limits(waived={"istio-one-minor-at-a-time": "a drill", "increase-limited": "a drill"})
        raised = with_settings(region(wanted=versions(v1=10, v2=90), limits=limits), **self.NEXT)
        comes = with_settings(region(service=new, limits=limits), **self.NEXT)

        found = judge([Change(region(), raised), Change(None, comes)])

        assert refused(found) == {"istio-one-minor-at-a-time", "increase-limited"}

    def test_tells_once_that_more_is_allowed(self) -> None:
        limits = Limits(largest_increase=100)

        found = judge([Change(make(), make(limits=limits)) for make in (region, web)])

        assert by_service(found) == [("region-a", "", "limits-loosened")]

    def test_tells_once_of_a_platform_that_changes_in_three_regions(self) -> None:
        regions = [make(it) for it in ("region-a", "region-b", "region-c") for make in (region, web)]

        (found,) = judge([Change(each, with_settings(each, istio__version="1.31.2")) for each in regions])

        assert (found.region, found.service, found.rule_id) == ("region-b", "", "platform-in-one-region")
        assert found.what == "changes in region-a, region-b and region-c at once"

    def test_tells_once_of_a_cluster_that_two_regions_share(self) -> None:
        regions = [
            with_settings(make(it), cluster__context="one") for it in ("region-a", "region-b") for make in (region, web)
        ]

        assert by_service(judge([Change(each, each) for each in regions])) == [("region-b", "", "own-place")]


class TestRemoval:
    def test_of_a_region_is_told_once_and_not_of_its_services(self) -> None:
        found = judge([Change(each, None, region_goes=True) for each in (region(), web())])

        assert by_service(found) == [("region-a", "", "region-removed")]

    def test_of_a_service_is_told_of_it_alone(self) -> None:
        found = judge([kept("region-a"), Change(web(), None)])

        assert by_service(found) == [("region-a", "web", "service-removed")]
        assert (found[0].where, found[0].what) == ("$.services.web", "is no longer there")

    def test_of_a_service_passes_once_it_was_announced(self) -> None:
        limits = Limits(waived={"service-removed": "replaced by shop"})

        found = judge([kept("region-a", limits), Change(web(limits=limits), None)])

        assert [(each.rule_id, each.service, each.waived) for each in found] == [
            ("service-removed", "web", "replaced by shop")
        ]


class TestWaivers:
    WAIVED = Limits(waived={RETIREMENT: "v2 has no users yet"})

    def test_one_of_before_makes_a_warning_with_its_reason(self) -> None:
        found = judge([Change(region(limits=self.WAIVED), region(wanted=versions(v1=100), limits=self.WAIVED))])

        (waived,) = (each for each in found if each.rule_id == RETIREMENT)
        assert (waived.severity, waived.waived) == (Severity.WARNING, "v2 has no users yet")
        assert str(waived).splitlines()[0].endswith(f"[{RETIREMENT}] (waived: v2 has no users yet)")

    def test_one_lets_pass_what_it_names_and_the_model_still_speaks(self) -> None:
        retired = versions(v1=100)
        both = Limits(waived={**self.WAIVED.waived, "make-before-break": "v2 has no users yet"})

        found = judge([Change(region(limits=self.WAIVED), region(wanted=retired, limits=self.WAIVED))])

        assert refused(found) == {"make-before-break"}
        assert refused(judge([Change(region(limits=both), region(wanted=retired, limits=both))])) == set()

    def test_one_that_comes_with_the_change_does_not_hold_for_it(self) -> None:
        found = judge([Change(region(), region(wanted=versions(v1=100), limits=self.WAIVED))])

        assert refused(found) == {RETIREMENT}

    def test_one_of_another_region_does_not_hold(self) -> None:
        found = judge([kept("region-b", self.WAIVED), Change(region(), region(wanted=versions(v1=100)))])

        assert refused(found) == {RETIREMENT}

    def test_one_of_a_rule_over_one_region_holds_with_the_change_that_brings_it(self) -> None:
        rule_ids = refused(judge_region([without_routes(region())]))
        waived = region(limits=Limits(waived=dict.fromkeys(rule_ids, "a drill")))

        assert refused(judge_region([without_routes(waived)])) == set()

    def test_one_of_a_rule_between_regions_holds_with_the_change_that_brings_it(self) -> None:
        limits = Limits(waived={"own-place": "both run in one cluster for a drill"})
        before = [with_settings(region(name), cluster__context="one") for name in ("region-a", "region-b")]

        after = [replace(each, limits=limits) for each in before]

        assert refused(judge([Change(old, new) for old, new in zip(before, after, strict=True)])) == set()

    def test_what_cannot_be_read_is_refused_whatever_is_waived(self) -> None:
        unreadable = (Unreadable("VirtualService echo/echo: spec.http[0].fault", "aborts requests", "VirtualService"),)
        good = region(limits=Limits(waived={"objects-readable": "a drill"}))

        bad = replace(good, workloads=replace(good.workloads, unreadable=unreadable))

        assert refused(judge_region([bad])) == {"objects-readable"}

    def test_one_of_before_does_not_hold_for_the_region_as_it_will_be(self) -> None:
        rule_ids = refused(judge_region([without_routes(region())]))
        waiving = without_routes(region(limits=Limits(waived=dict.fromkeys(rule_ids, "a drill"))))

        assert refused(judge([Change(waiving, without_routes(region()))])) == rule_ids

    def test_a_region_that_goes_may_be_waived_by_what_it_was(self) -> None:
        announced = region("region-b", limits=Limits(waived={"region-removed": "moved to region-c"}))

        assert in_short(judge([kept("region-a"), Change(announced, None, region_goes=True)])) == [
            ("region-removed", "region-b", Severity.WARNING)
        ]


class TestMakeBeforeBreak:
    def test_is_told_where_no_other_rule_has_told_of_it(self) -> None:
        good = region(wanted={**versions(v1=90, v2=10), "v3": Wanted(0, replicas=0)})
        moved = with_subset(region(wanted=versions(v1=90, v2=10, v3=0)), "v2", {"version": "v3"})

        found = judge([Change(good, with_subset(moved, "v3", {"version": "v2"}))])

        assert refused(found) == {"make-before-break"}
        assert found[0].where == "the whole change of echo"

    def test_is_not_told_of_an_introduction_with_requests(self) -> None:
        found = judge([Change(region(wanted=versions(v1=100)), region())])

        assert refused(found) == {"introduced-idle"}

    def test_is_not_told_where_a_simpler_rule_has_told_of_it(self) -> None:
        assert refused(judge([Change(region(), region(wanted=versions(v1=100)))])) == {RETIREMENT}

    def test_is_not_told_of_a_region_that_is_broken_by_itself(self) -> None:
        bad = without_routes(region())

        assert "make-before-break" not in refused(judge([Change(region(), bad)]))

    def test_is_not_told_of_the_change_that_mends_a_broken_region(self) -> None:
        assert judge([Change(without_routes(region()), region())]) == ()
