"""The rules and the model of make-before-break, made independently, speak of the same changes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Literal

import pytest

from rules.catalogue import ONE_REGION
from rules.change.order import MAKE_BEFORE_BREAK, ORDER
from rules.facts.region import Change, Region
from rules.facts.workloads import Delivery
from rules.finding import Severity
from rules.model.changes import outage
from tests.rules.edits import with_deployment, with_destination, with_subset, with_waves
from tests.rules.good import Wanted, region

Waves = tuple[int, int, int]
State = Literal[
    "absent",
    "pods",
    "subset",
    "idle without pods",
    "idle",
    "idle renamed",
    "asked",
    "asked renamed",
    "asked without pods",
    "routed",
    "routed renamed",
    "routed without pods",
    "routed without subset",
]
"""`renamed`: with a Deployment of another name; `asked`: by testers alone."""

OF_CHANGES = [rule for rule in ORDER if rule is not MAKE_BEFORE_BREAK]
OF_REGIONS = [rule for rule in ONE_REGION if rule.id in {"weighted-version-has-pods", "routed-subset-exists"}]

SOUND: tuple[State, ...] = ("absent", "idle without pods", "idle", "routed")
ASKED: tuple[State, ...] = ("asked", "asked renamed", "asked without pods")
PARTIAL: tuple[State, ...] = ("pods", "subset", "idle renamed", *ASKED, "routed renamed")
BROKEN: tuple[State, ...] = ("routed without pods", "routed without subset")
CHANGES_OF_DELIVERY: tuple[tuple[Delivery, Delivery], ...] = (
    ("gitops", "handover"),
    ("handover", "gitops"),
    ("handover", "direct"),
    ("direct", "handover"),
    ("gitops", "direct"),
    ("direct", "gitops"),
)
DELIVERIES: tuple[Delivery, ...] = ("gitops", "direct", "handover")
RIGHT: Waves = (0, 1, 2)
WAVES: tuple[Waves, ...] = (
    RIGHT,
    (0, 0, 2),
    (1, 1, 2),
    (0, 2, 2),
    (0, 0, 0),
    (2, 1, 0),
    (0, 2, 1),
    (2, 1, 2),
    (3, 1, 2),
    (2, 0, 1),
)


def in_states(states: tuple[State, ...], delivery: Delivery, waves: Waves = RIGHT) -> Region:
    """A region with v1, v2 and so on in these states; those that are routed have equal parts, the first one what is left over."""
    names = {f"v{number}": state for number, state in enumerate(states, 1)}
    routed = [name for name, state in names.items() if state.startswith("routed")]
    weights = {name: 100 // len(routed) for name in routed}
    weights[routed[0]] += 100 - sum(weights.values())
    wanted = {
        name: Wanted(
            weights.get(name, 0),
            replicas=0 if state.endswith("without pods") else 3,
            testers=state.startswith("asked"),
        )
        for name, state in names.items()
        if state != "absent"
    }
    made = region(wanted=wanted, delivery=delivery)
    for name, state in names.items():
        if state in ("pods", "subset"):
            made = with_destination(made, name, lambda _: None)
        if state in ("pods", "routed without subset"):
            made = with_subset(made, name, None)
        if state.endswith("renamed"):
            made = with_deployment(made, name, lambda it: replace(it, id=replace(it.id, name=f"{it.id.name}-new")))
        if state == "subset":
            made = with_deployment(made, name, lambda _: None)
    return with_waves(made, *waves)


def spoken_by_rules(change: Change) -> bool:
    """Whether one of the rules refuses it."""
    assert change.after is not None
    return any(list(rule.check(change)) for rule in OF_CHANGES) or any(
        each.severity is not Severity.WARNING for rule in OF_REGIONS for each in rule.check(change.after)
    )


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("waves", WAVES)
def test_rules_and_model_agree_on_every_change_of_one_version(delivery: Delivery, waves: Waves) -> None:
    """Beside a stable one, from every state in which no request fails, to every state there is."""
    before = {state: in_states(("routed", state), delivery, waves) for state in (*SOUND, *PARTIAL)}
    after = {**before, **{state: in_states(("routed", state), delivery, waves) for state in BROKEN}}

    disagreements = [
        (old, new)
        for old, new in product(before, after)
        if spoken_by_rules(change := Change(before[old], after[new])) != bool(outage(change))
    ]

    assert disagreements == []


@pytest.mark.parametrize(("delivery", "following"), CHANGES_OF_DELIVERY)
def test_rules_and_model_agree_where_delivery_changes_too(delivery: Delivery, following: Delivery) -> None:
    before = {state: in_states(("routed", state), delivery) for state in (*SOUND, *PARTIAL)}
    after = {state: in_states(("routed", state), following) for state in (*SOUND, *PARTIAL, *BROKEN)}

    disagreements = [
        (old, new)
        for old, new in product(before, after)
        if spoken_by_rules(change := Change(before[old], after[new])) != bool(outage(change))
    ]

    assert disagreements == []


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_rules_and_model_agree_on_every_change_of_three_versions(delivery: Delivery) -> None:
    regions = {states: in_states(states, delivery) for states in product(SOUND, repeat=3) if "routed" in states}

    disagreements = [
        (old, new)
        for old, new in product(regions, repeat=2)
        if spoken_by_rules(change := Change(regions[old], regions[new])) != bool(outage(change))
    ]

    assert len(regions) ** 2 == 37**2
    assert disagreements == []


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("waves", WAVES)
def test_neither_blames_the_change_that_mends_a_broken_version(delivery: Delivery, waves: Waves) -> None:
    sound = {state: in_states(("routed", state), delivery, waves) for state in SOUND}
    changes = [
        Change(in_states(("routed", state), delivery, waves), after) for state in BROKEN for after in sound.values()
    ]

    assert [change for change in changes if spoken_by_rules(change) or outage(change)] == []
