"""No unsafe change passes, and no safe one is refused."""

from __future__ import annotations

import pytest

from rules.catalogue import RULES
from rules.finding import Severity
from rules.judgement import judge
from tests.rules.mutations import CASES, Case
from tests.rules.safe_changes import Safe, safe_changes

UNSAFE = [case for case in CASES if case.severity is Severity.REFUSED]
WORTH_A_LOOK = [case for case in CASES if case.severity is Severity.WARNING]
SAFE = tuple(safe_changes())


@pytest.mark.parametrize("case", UNSAFE, ids=lambda case: case.name)
def test_an_unsafe_change_is_refused_by_the_rules_that_it_breaks(case: Case) -> None:
    refused = {each.rule_id for each in judge(case.make()) if each.severity is Severity.REFUSED}

    assert refused == {case.rule} | case.also


@pytest.mark.parametrize("case", WORTH_A_LOOK, ids=lambda case: case.name)
def test_a_change_that_is_worth_a_look_passes_with_a_warning(case: Case) -> None:
    found = [(each.rule_id, each.severity) for each in judge(case.make())]

    assert set(found) == {(rule, Severity.WARNING) for rule in {case.rule} | case.also}


def test_every_rule_notices_some_mutation() -> None:
    assert {rule.id for rule in RULES} == {case.rule for case in CASES}


def test_there_are_a_hundred_unsafe_changes() -> None:
    assert len(UNSAFE) >= 100


@pytest.mark.parametrize("safe", SAFE, ids=lambda safe: safe.name)
def test_a_safe_change_is_not_refused(safe: Safe) -> None:
    assert [str(each) for each in judge(safe.changes) if each.severity is Severity.REFUSED] == []


def test_there_are_a_hundred_safe_changes() -> None:
    assert len({safe.name for safe in SAFE}) >= 100
