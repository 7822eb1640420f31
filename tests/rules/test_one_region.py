from __future__ import annotations

import re
from pathlib import Path

import pytest

from rules.finding import Rule
from rules.one_region import ONE_REGION
from rules.region import Region
from rules.workloads import Delivery
from tests.rules import good

DOCUMENT = Path(__file__).parents[2] / "docs" / "rules.md"
by_rule = pytest.mark.parametrize("rule", ONE_REGION, ids=lambda rule: rule.id)


@pytest.mark.parametrize("delivery", ["gitops", "handover", "direct"])
@pytest.mark.parametrize(
    "weights",
    [
        {"v1": 100},
        {"v1": 100, "v2": 0},
        {"v1": 90, "v2": 10},
        {"v1": 0, "v2": 100},
        {"v2": 50, "v3": 50, "v10": 0},
    ],
    ids=str,
)
def test_a_good_region_passes_every_rule(weights: dict[str, int], delivery: Delivery) -> None:
    region = good.region(wanted=good.versions(**weights), delivery=delivery)

    assert [(rule.id, found) for rule in ONE_REGION for found in rule.check(region)] == []


def test_each_rule_has_a_name_of_its_own() -> None:
    ids = [rule.id for rule in ONE_REGION]

    assert len(ids) == len(set(ids))
    assert [each for each in ids if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", each)] == []


@by_rule
def test_a_rule_is_told_in_the_document_in_its_own_words(rule: Rule[Region]) -> None:
    text = re.sub(r"\s+", " ", DOCUMENT.read_text(encoding="utf-8"))

    for part in (f"#### {rule.id}", rule.holds, rule.reason, rule.mend):
        assert part in text


@by_rule
def test_a_fact_in_this_repository_is_there(rule: Rule[Region]) -> None:
    if not rule.fact.startswith("https://"):
        path, _, anchor = rule.fact.partition("#")
        text = (DOCUMENT.parents[1] / path).read_text(encoding="utf-8")
        anchors = [
            re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.*)$", text, re.M)
        ]

        assert not anchor or anchor in anchors
