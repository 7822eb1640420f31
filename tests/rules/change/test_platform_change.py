from __future__ import annotations

from dataclasses import replace

import pytest

from rules.change.platform import PLATFORM_CHANGE
from rules.facts.region import Change
from rules.finding import Severity, Violation
from tests.rules.good import region

BY_ID = {rule.id: rule for rule in PLATFORM_CHANGE}
ALIASES = "istio.values.meshConfig.trustDomainAliases"


def told(rule_id: str, setting: str, old: object, new: object, **aliases: list[str]) -> list[Violation]:
    """What a rule says of one setting that changes; with `old_aliases` and `new_aliases`."""
    before, after = (
        replace(
            region(),
            settings={**region().settings, setting: value} | ({ALIASES: aliases[name]} if name in aliases else {}),
        )
        for value, name in ((old, "old_aliases"), (new, "new_aliases"))
    )
    return list(BY_ID[rule_id].check(Change(before, after)))


class TestIdentity:
    ID = "mesh-identity-kept"

    def test_refuses_another_trust_domain_with_the_way_by_its_alias(self) -> None:
        (found,) = told(self.ID, "mesh.trustDomain", "old.local", "new.local")

        assert (found.where, found.what, found.severity) == ("$.mesh.trustDomain", "old.local → new.local", None)
        assert found.steps == (
            "leave mesh.trustDomain at old.local, and set meshConfig.trustDomainAliases: [new.local] in istio.values; commit, pulumi "
            "up -s region-a",
            "wait until that is delivered and measured: rollout verify --region region-a holds",
            "then set mesh.trustDomain: new.local and meshConfig.trustDomainAliases: [old.local]; commit, pulumi up -s region-a; restart "
            "every pod that has a sidecar, one Deployment at a time (kubectl rollout restart); wait until that is delivered and measured: "
            "rollout verify --region region-a holds",
            "when that is done in every region, take old.local out of meshConfig.trustDomainAliases; commit, pulumi up -s region-a",
        )

    @pytest.mark.parametrize(
        ("before", "after"), [([], ["old.local"]), (["new.local"], []), (["other.local"], ["old.local", "other.local"])]
    )
    def test_refuses_it_without_an_alias_before_and_after(self, before: list[str], after: list[str]) -> None:
        found = told(self.ID, "mesh.trustDomain", "old.local", "new.local", old_aliases=before, new_aliases=after)

        assert None in [each.severity for each in found]

    def test_warns_of_it_with_both(self) -> None:
        (found,) = told(
            self.ID, "mesh.trustDomain", "old.local", "new.local", old_aliases=["new.local"], new_aliases=["old.local"]
        )

        assert found.severity is Severity.WARNING
        assert found.mend is not None
        assert "restart every pod" in found.mend

    def test_warns_of_an_alias_that_goes_and_not_of_one_that_comes(self) -> None:
        same = ("mesh.trustDomain", "corp.local", "corp.local")

        assert [each.where for each in told(self.ID, *same, old_aliases=["old.local"])] == [f"$.{ALIASES}"]
        assert told(self.ID, *same, new_aliases=["new.local"]) == []

    @pytest.mark.parametrize("setting", ["mesh.network", "istio.values.global.network"])
    def test_refuses_another_network_and_tells_how_without_requests(self, setting: str) -> None:
        (found,) = told(self.ID, setting, "network-a", "network-b")

        assert (found.severity, found.mend) == (None, "leave it: Istio has no way to change it under requests")
        assert [step.split(";")[0] for step in found.steps] == [
            "send the region's clients elsewhere",
            "then make this change",
        ]

    def test_warns_of_another_mesh(self) -> None:
        (found,) = told(self.ID, "mesh.meshId", "one", "other")

        assert found.severity is Severity.WARNING

    def test_says_nothing_of_what_is_not_known_before(self) -> None:
        assert told(self.ID, "mesh.trustDomain", None, "new.local") == []


class TestOneMinor:
    ID = "istio-one-minor-at-a-time"

    @pytest.mark.parametrize(
        ("old", "new"), [("1.31.1", "1.31.9"), ("1.31.9", "1.31.0"), ("1.31.1", "v1.32.0"), ("1.31.1", "unknown")]
    )
    def test_allows_one_up_and_every_patch(self, old: str, new: str) -> None:
        assert told(self.ID, "istio.version", old, new) == []

    @pytest.mark.parametrize(
        ("old", "new", "what", "first"),
        [
            ("1.28.2", "1.31.1", "3 minor versions up", "1.29"),
            ("1.31.1", "1.27.0", "4 minor versions down", "1.30"),
        ],
    )
    def test_refuses_several_and_leads_the_way_by_pulumi(self, old: str, new: str, what: str, first: str) -> None:
        (found,) = told(self.ID, "istio.version", old, new)

        assert found.severity is None
        assert found.what == f"{old} → {new} is {what}, and Istio supports one at a time"
        assert found.steps[0] == f"set istio.version to the newest release of {first}; commit, pulumi up -s region-a"
        assert found.steps[-1].endswith(f"to {new}")

    def test_refuses_another_major_version(self) -> None:
        assert [each.severity for each in told(self.ID, "istio.version", "1.31.1", "2.0.0")] == [None]

    def test_warns_of_one_down_with_its_steps(self) -> None:
        (found,) = told(self.ID, "istio.version", "1.32.0", "1.31.1")

        assert found.severity is Severity.WARNING
        assert found.steps == (
            "make this change in region-a alone; commit, pulumi up -s region-a",
            "restart every pod that has a sidecar, one Deployment at a time (kubectl rollout restart); wait until that is delivered "
            "and measured: rollout verify --region region-a holds",
        )
