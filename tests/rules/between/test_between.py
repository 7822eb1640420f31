from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from rules.between.changes import BETWEEN_CHANGES
from rules.between.regions import BETWEEN_REGIONS
from rules.facts.region import MAY_DIFFER, Change, Limits, Region
from rules.facts.workloads import Delivery
from rules.finding import Violation
from tests.rules.edits import with_document
from tests.rules.good import Wanted, region, versions
from tests.stackfile.stack_values import MINIMAL, parse

NAMES = ("region-a", "region-b", "region-c")
OF_REGIONS = {rule.id: rule for rule in BETWEEN_REGIONS}
OF_CHANGES = {rule.id: rule for rule in BETWEEN_CHANGES}


def told_of_regions(rule_id: str, *regions: Region) -> list[Violation]:
    return list(OF_REGIONS[rule_id].check(regions))


def told_of_changes(rule_id: str, *changes: Change) -> list[Violation]:
    return list(OF_CHANGES[rule_id].check(changes))


def set_to(of: Region, settings: Mapping[str, object]) -> Region:
    return replace(of, settings={**of.settings, **settings})


def change(
    name: str,
    before: Mapping[str, Wanted],
    after: Mapping[str, Wanted],
    limits: Limits | None = None,
    proven: Mapping[str, frozenset[str]] | None = None,
) -> Change:
    limits = limits or Limits()
    return Change(region(name, before, limits=limits), region(name, after, limits=limits), proven or {})


class TestStartsInOneRegion:
    ID = "starts-in-one-region"
    BEFORE = versions(v1=100)
    AFTER = versions(v1=90, v2=10)

    def test_refuses_a_new_version_in_two_regions_at_once(self) -> None:
        found = told_of_changes(self.ID, *(change(name, self.BEFORE, self.AFTER) for name in NAMES[:2]))

        assert [(each.region, each.where, each.what) for each in found] == [
            ("region-b", "version v2 of echo", "starts here in the change that starts it in region-a")
        ]

    def test_allows_a_new_version_to_wait_in_two_regions_with_weight_0(self) -> None:
        idle = versions(v1=100, v2=0)

        assert not told_of_changes(self.ID, *(change(name, self.BEFORE, idle) for name in NAMES[:2]))

    def test_refuses_the_first_requests_in_two_regions_at_once(self) -> None:
        idle = versions(v1=100, v2=0)

        assert told_of_changes(self.ID, *(change(name, idle, self.AFTER) for name in NAMES[:2]))

    def test_tells_of_many_regions_once_for_each_version(self) -> None:
        after = versions(v1=80, v2=10, v3=10)
        changes = [change(f"region-{number:02}", self.BEFORE, after) for number in range(50)]

        found = told_of_changes(self.ID, *changes)

        assert [each.what for each in found] == [
            "starts here in the change that starts it in region-00, region-02 and 47 more"
        ] * 2

    def test_allows_it_in_one_region(self) -> None:
        assert not told_of_changes(
            self.ID, change("region-a", self.BEFORE, self.AFTER), change("region-b", self.BEFORE, self.BEFORE)
        )

    def test_allows_it_where_it_had_all_requests_before(self) -> None:
        proven = {"v2": frozenset({"registry.corp.local/echo:2.0.0"})}

        assert not told_of_changes(
            self.ID, *(change(name, self.BEFORE, self.AFTER, proven=proven) for name in NAMES[:2])
        )

    def test_allows_it_where_all_of_them_say_so(self) -> None:
        together = Limits(introduce_together=True)

        assert not told_of_changes(self.ID, *(change(name, self.BEFORE, self.AFTER, together) for name in NAMES))

    def test_refuses_it_where_one_of_them_does_not_say_so(self) -> None:
        together = Limits(introduce_together=True)

        assert told_of_changes(
            self.ID,
            change("region-a", self.BEFORE, self.AFTER),
            *(change(name, self.BEFORE, self.AFTER, together) for name in NAMES[1:]),
        )

    def test_does_not_take_the_word_of_the_change_itself(self) -> None:
        together = Limits(introduce_together=True)

        assert told_of_changes(
            self.ID,
            *(Change(region(name, self.BEFORE), region(name, self.AFTER, limits=together)) for name in NAMES),
        )

    def test_names_a_region_that_does_not_waive_it(self) -> None:
        waived = Limits(waived={self.ID: "a drill"})

        (found,) = told_of_changes(
            self.ID,
            change("region-a", self.BEFORE, self.AFTER, waived),
            change("region-b", self.BEFORE, self.AFTER, waived),
            change("region-c", self.BEFORE, self.AFTER),
        )

        assert found.region == "region-c"

    def test_allows_regions_that_come_with_it(self) -> None:
        assert not told_of_changes(self.ID, *(Change(None, region(name, self.AFTER)) for name in NAMES))

    def test_allows_the_stable_version_to_take_everything_back_everywhere(self) -> None:
        assert not told_of_changes(
            self.ID,
            *(change(name, versions(v1=0, v2=100), versions(v1=100, v2=0), Limits(stable="v1")) for name in NAMES),
        )


class TestPodsChangedInOneRegion:
    ID = "pods-changed-in-one-region"
    NEW = MappingProxyType({"v1": Wanted(90), "v2": Wanted(10, image="registry.corp.local/echo:2.0.1")})

    def test_refuses_a_new_image_under_requests_in_two_regions_at_once(self) -> None:
        found = told_of_changes(self.ID, *(change(name, versions(v1=90, v2=10), self.NEW) for name in NAMES[:2]))

        assert [each.what for each in found] == ["all pods are made anew in region-a (v2) and region-b (v2) at once"]

    def test_refuses_any_other_field_of_the_template(self) -> None:
        found = told_of_changes(self.ID, *(Change(region(name), self.probed(region(name))) for name in NAMES[:2]))

        assert [each.what for each in found] == ["all pods are made anew in region-a (v1) and region-b (v1) at once"]

    def probed(self, of: Region) -> Region:
        path = "spec/template/spec/containers/0/readinessProbe/httpGet/path"
        return with_document(of, "Deployment", "echo-v1", path, "/other")

    def test_allows_it_in_one_region(self) -> None:
        assert not told_of_changes(
            self.ID,
            Change(region("region-a"), self.probed(region("region-a"))),
            Change(region("region-b"), region("region-b")),
        )

    def test_allows_the_return_to_an_image_that_had_all_requests(self) -> None:
        proven = {"v2": frozenset({"registry.corp.local/echo:2.0.1"})}

        assert not told_of_changes(
            self.ID,
            *(replace(change(name, versions(v1=90, v2=10), self.NEW), proven=proven) for name in NAMES[:2]),
        )

    def test_allows_pods_without_requests_to_change(self) -> None:
        after = {"v1": Wanted(100), "v2": Wanted(0, image="registry.corp.local/echo:2.0.1")}

        assert not told_of_changes(self.ID, *(change(name, versions(v1=100, v2=0), after) for name in NAMES[:2]))


class TestRaisedInOneRegion:
    ID = "raised-in-one-region"

    def test_warns_of_a_canary_that_rises_in_two_regions_at_once(self) -> None:
        found = told_of_changes(
            self.ID, *(change(name, versions(v1=90, v2=10), versions(v1=75, v2=25)) for name in NAMES[:2])
        )

        assert [each.what for each in found] == ["region-a (v2 10 % → 25 %) and region-b (v2 10 % → 25 %) at once"]

    def test_warns_of_different_canaries_too(self) -> None:
        assert told_of_changes(
            self.ID,
            change("region-a", versions(v1=90, v2=10), versions(v1=75, v2=25)),
            change("region-b", versions(v1=90, v2=0, v3=10), versions(v1=75, v2=0, v3=25)),
        )

    def test_allows_it_in_one_region(self) -> None:
        assert not told_of_changes(
            self.ID,
            change("region-a", versions(v1=90, v2=10), versions(v1=75, v2=25)),
            change("region-b", versions(v1=90, v2=10), versions(v1=90, v2=10)),
        )

    def test_allows_requests_to_be_taken_away_everywhere(self) -> None:
        assert not told_of_changes(
            self.ID, *(change(name, versions(v1=75, v2=25), versions(v1=100, v2=0)) for name in NAMES)
        )

    def test_warns_of_fewer_pods_under_requests_in_two_regions_at_once(self) -> None:
        before = {"v1": Wanted(100, replicas=30), "v2": Wanted(0, replicas=30)}
        after = {"v1": Wanted(100, replicas=3), "v2": Wanted(0, replicas=3)}

        found = told_of_changes(self.ID, *(change(name, before, after) for name in NAMES[:2]))

        assert [each.what for each in found] == ["region-a (v1 30 → 3 pods) and region-b (v1 30 → 3 pods) at once"]

    def test_allows_pods_without_requests_to_go_everywhere(self) -> None:
        after = {"v1": Wanted(100), "v2": Wanted(0, replicas=0)}

        assert not told_of_changes(self.ID, *(change(name, versions(v1=100, v2=0), after) for name in NAMES))

    def test_says_nothing_of_a_version_that_starts_in_both(self) -> None:
        assert not told_of_changes(self.ID, *(change(name, versions(v1=100), versions(v1=90, v2=10)) for name in NAMES))

    def test_tells_of_many_regions_once(self) -> None:
        changes = [
            change(f"region-{number:02}", versions(v1=90, v2=10), versions(v1=75, v2=25)) for number in range(50)
        ]

        (found,) = told_of_changes(self.ID, *changes)

        assert found.what.endswith("region-01 (v2 10 % → 25 %) and 48 more at once")


class TestPlatformInOneRegion:
    ID = "platform-in-one-region"

    def touched(self, name: str, setting: str) -> Change:
        return Change(region(name), set_to(region(name), {setting: "another"}))

    @pytest.mark.parametrize("setting", ["istio.version", "mesh.trustDomain", "argocd.images.redis"])
    def test_warns_of_a_platform_that_changes_in_two_regions_at_once(self, setting: str) -> None:
        found = told_of_changes(self.ID, *(self.touched(name, setting) for name in NAMES[:2]))

        assert [(each.region, each.where) for each in found] == [("region-b", f"$.{setting}")]

    @pytest.mark.parametrize("delivery", ["gitops", "direct"])
    def test_leads_the_way_by_pulumi_whoever_delivers_the_workloads(self, delivery: Delivery) -> None:
        changes = [
            Change(before := region(name, delivery=delivery), set_to(before, {"istio.version": "1.32.0"}))
            for name in NAMES[:2]
        ]

        (found,) = told_of_changes(self.ID, *changes)

        assert found.steps[0] == "make the change in region-a alone; commit, pulumi up -s region-a"

    def test_warns_of_a_setting_that_goes_in_two_regions_at_once(self) -> None:
        changes = [Change(set_to(region(name), {"argocd.manifest": "x"}), region(name)) for name in NAMES[:2]]

        assert told_of_changes(self.ID, *changes)

    def test_allows_it_in_one_region(self) -> None:
        assert not told_of_changes(self.ID, self.touched("region-a", "istio.version"), Change(region(), region()))

    def test_allows_other_settings_to_change_in_both(self) -> None:
        assert not told_of_changes(self.ID, *(self.touched(name, "probe.image") for name in NAMES))

    def test_allows_settings_that_are_not_known_of_one_revision(self) -> None:
        assert not told_of_changes(
            self.ID, *(Change(replace(region(name), settings={}), region(name)) for name in NAMES)
        )


class TestDifferOnlyWhereAllowed:
    ID = "differ-only-where-allowed"

    def test_names_the_setting_and_both_values(self) -> None:
        found = told_of_regions(self.ID, region("region-a"), set_to(region("region-b"), {"istio.version": "1.29.0"}))

        assert [(each.region, each.where, each.what) for each in found] == [
            ("region-b", "$.istio.version", "1.29.0 here, 1.31.1 in region-a")
        ]

    @pytest.mark.parametrize(
        ("version", "fine"), [("1.30.9", True), ("1.32.0", True), ("1.33.0", False), ("2.31.1", False)]
    )
    def test_allows_an_upgrade_of_istio_that_is_on_its_way(self, version: str, fine: bool) -> None:
        found = told_of_regions(self.ID, region("region-a"), set_to(region("region-b"), {"istio.version": version}))

        assert (not found) == fine

    def test_names_a_setting_that_one_region_has_not(self) -> None:
        found = told_of_regions(self.ID, set_to(region("region-a"), {"istio.values.x": 1}), region("region-b"))

        assert [each.what for each in found] == ["not set here, 1 in region-a"]

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("services.echo.versions.v2.weight", 25),
            ("services.echo.versions.v2.replicas", 5),
            ("cluster.context", "other"),
            ("rules.waived.increase-limited", "a drill"),
        ],
    )
    def test_allows_what_the_limits_name(self, setting: str, value: object) -> None:
        assert not told_of_regions(self.ID, region("region-a"), set_to(region("region-b"), {setting: value}))

    @pytest.mark.parametrize("allowing", ["region-a", "region-b"])
    def test_is_content_with_the_word_of_either_region(self, allowing: str) -> None:
        def of(name: str) -> Region:
            return region(name, limits=Limits(may_differ=("region", "istio.*") if name == allowing else ("region",)))

        assert not told_of_regions(self.ID, of("region-a"), set_to(of("region-b"), {"istio.version": "1.29.0"}))

    @pytest.mark.parametrize("pattern", ["istio.version", "istio.*", "*.version", "istio.**", "**", "istio.version.**"])
    def test_takes_a_pattern_for_all_that_it_says(self, pattern: str) -> None:
        limits = Limits(may_differ=(*MAY_DIFFER, pattern))

        assert not told_of_regions(
            self.ID, region("region-a", limits=limits), set_to(region("region-b"), {"istio.version": "1.29.0"})
        )

    @pytest.mark.parametrize("pattern", ["istio", "istio.version.*", "*", "*.values", "istio.values.**"])
    def test_takes_no_pattern_for_more_than_it_says(self, pattern: str) -> None:
        limits = Limits(may_differ=(*MAY_DIFFER, pattern))

        assert told_of_regions(
            self.ID, region("region-a", limits=limits), set_to(region("region-b"), {"istio.version": "1.29.0"})
        )

    def test_tells_of_an_absent_version_once(self) -> None:
        strict = Limits(may_differ=("region",))

        found = told_of_regions(
            self.ID,
            region("region-a", versions(v1=100, v2=0), limits=strict),
            region("region-b", versions(v1=100), limits=strict),
        )

        assert [(each.where, each.what) for each in found] == [
            ("$.services.echo.versions.v2", "not set here, there in region-a")
        ]

    def test_holds_the_images_of_those_that_have_a_version_against_each_other(self) -> None:
        other = {"v1": Wanted(100), "v2": Wanted(0, image="registry.corp.local/echo:2.0.1")}

        found = told_of_regions(
            self.ID,
            region("region-a", versions(v1=100, v2=0)),
            region("region-b", other),
            region("region-c", versions(v1=100)),
        )

        assert [(each.region, each.where) for each in found] == [("region-b", "$.services.echo.versions.v2.image")]

    def test_holds_few_against_most(self) -> None:
        regions = [region(f"region-{number:02}") for number in range(50)]
        regions[7] = set_to(regions[7], {"istio.version": "1.29.0"})
        regions[0] = set_to(regions[0], {"istio.version": "1.29.0"})

        found = told_of_regions(self.ID, *regions)

        assert [(each.region, each.what) for each in found] == [
            ("region-00", "1.29.0 here and in region-07, 1.31.1 in region-01, region-02 and 46 more")
        ]

    def test_tells_of_a_service_that_one_region_has_once(self) -> None:
        found = told_of_regions(self.ID, *map(region, NAMES), region("region-b", service="web"))

        assert [(each.region, each.where, each.what) for each in found] == [
            ("region-b", "$.services.web", "there here, not set in region-a and region-c")
        ]

    @pytest.mark.parametrize("pattern", ["services.web", "services.*"])
    def test_allows_a_service_that_one_region_has_by_a_path_that_a_stack_file_may_have(self, pattern: str) -> None:
        rules = parse({**MINIMAL, "rules": {"mayDiffer": [*MAY_DIFFER, pattern]}}).rules
        limits = Limits(may_differ=rules.may_differ)

        assert not told_of_regions(
            self.ID, *map(region, NAMES), *(region("region-b", service=it, limits=limits) for it in ("echo", "web"))
        )

    def test_holds_a_service_against_that_of_the_same_name_alone(self) -> None:
        regions = [region(name, service=service) for name in NAMES for service in ("echo", "web")]
        drained = set_to(regions[3], {"services.web.drain.seconds": 9})
        regions = [set_to(each, {f"services.{each.service}.drain.seconds": 5}) for each in regions]

        found = told_of_regions(self.ID, *regions[:3], drained, *regions[4:])

        assert [(each.region, each.where, each.what) for each in found] == [
            ("region-b", "$.services.web.drain.seconds", "9 here, 5 in region-a and region-c")
        ]

    def test_allows_regions_of_which_no_setting_is_known(self) -> None:
        assert not told_of_regions(self.ID, region("region-a"), replace(region("region-b"), settings={}))


class TestOwnPlace:
    ID = "own-place"

    @pytest.mark.parametrize("setting", ["cluster.context", "services.echo.path"])
    def test_refuses_two_regions_in_one_place(self, setting: str) -> None:
        found = told_of_regions(self.ID, *(set_to(region(name), {setting: "region-a"}) for name in NAMES[:2]))

        assert [(each.region, each.where) for each in found] == [("region-b", f"$.{setting}")]

    @pytest.mark.parametrize("names", [("region-a", "region-a"), ("region-a", "region-c")])
    def test_refuses_two_services_in_one_overlay(self, names: tuple[str, str]) -> None:
        echo, web = (
            set_to(region(name, service=service), {f"services.{service}.path": "deploy/all"})
            for name, service in zip(names, ("echo", "web"), strict=True)
        )

        found = told_of_regions(self.ID, echo, region("region-b"), web)

        assert [(each.region, each.where, each.what) for each in found] == [
            (names[1], "$.services.web.path", "deploy/all is also the overlay of echo in region-a")
        ]

    def test_allows_all_services_of_a_region_in_one_cluster(self) -> None:
        services = (region(service=it) for it in ("echo", "web"))

        assert not told_of_regions(self.ID, *(set_to(each, {"cluster.context": "region-a"}) for each in services))

    def test_allows_a_context_of_the_same_name_in_another_kubeconfig(self) -> None:
        assert not told_of_regions(
            self.ID,
            *(set_to(region(name), {"cluster.context": "admin", "cluster.kubeconfig": name}) for name in NAMES),
        )

    def test_allows_places_that_are_not_known(self) -> None:
        assert not told_of_regions(self.ID, region("region-a"), region("region-b"))
