from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rules.catalogue import ONE_REGION, RULES, waivable_ids
from rules.facts.workloads import Delivery
from rules.finding import Rule, Severity
from tests.rules import good

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs" / "rules.md"
IDS = {rule.id for rule in RULES}


def documented() -> dict[str, str]:
    """The text below each rule's heading, in one line."""
    sections = re.split(r"^#### (.*)$", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()) for name, text in zip(sections[::2], sections[1::2], strict=True)}


each_rule = pytest.mark.parametrize("one", RULES, ids=lambda one: one.id)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


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


def test_each_rule_has_an_id_of_its_own() -> None:
    assert len(IDS) == len(RULES)


def test_only_what_other_rules_rely_on_cannot_be_waived() -> None:
    assert IDS - waivable_ids() == {"objects-readable"}


@each_rule
def test_ids_are_in_kebab_case(one: Rule[Any]) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)


@each_rule
def test_what_holds_is_a_sentence(one: Rule[Any]) -> None:
    assert re.fullmatch(r"[A-Z0-9].*\.", one.holds)


@each_rule
@pytest.mark.parametrize("part", ["reason", "mend"])
def test_reason_and_mend_fit_into_one_line_of_a_message(one: Rule[Any], part: str) -> None:
    assert re.fullmatch(r"[^A-Z\n].*[^.\s]|(Istio|Envoy|Kubernetes|Argo CD|Pulumi).*[^.\s]", getattr(one, part))


@each_rule
def test_the_fact_is_an_address_or_a_place_in_this_repository(one: Rule[Any]) -> None:
    if one.fact.startswith("https://"):
        return
    path, _, anchor = one.fact.partition("#")
    page = PROJECT / path
    assert page.is_file()
    assert not anchor or anchor in anchors(page)


@each_rule
def test_the_docs_say_of_a_rule_what_it_says(one: Rule[Any]) -> None:
    severity = "Refused" if one.severity is Severity.REFUSED else "A warning"
    waivable = "." if one.waivable else ", and cannot be waived."

    section = documented()[one.id]

    assert section.startswith(f"**{one.holds}** {severity}{waivable} Why: {one.reason}. Mend: {one.mend}.")
    assert one.fact.startswith("docs/rules.md#") or f"({one.fact.removeprefix('docs/')})" in section


def test_the_docs_have_no_other_rules() -> None:
    assert documented().keys() == IDS
