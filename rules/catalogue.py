"""All rules there are."""

from __future__ import annotations

from typing import Any

from rules.between import BETWEEN_CHANGES, BETWEEN_REGIONS
from rules.change import CHANGE
from rules.finding import Rule
from rules.one_region import ONE_REGION

RULES: tuple[Rule[Any], ...] = (*ONE_REGION, *CHANGE, *BETWEEN_REGIONS, *BETWEEN_CHANGES)
"""In the order in which a reader should meet them: one region, its change, several regions."""

_BY_ID = {rule.id: rule for rule in RULES}


def ids() -> frozenset[str]:
    """The names of all rules."""
    return frozenset(_BY_ID)


def waivable_ids() -> frozenset[str]:
    """What a waiver may name."""
    return frozenset(rule.id for rule in RULES if rule.waivable)


def rule(rule_id: str) -> Rule[Any]:
    """The rule of this name.

    Raises:
        KeyError: If there is none.
    """
    return _BY_ID[rule_id]
