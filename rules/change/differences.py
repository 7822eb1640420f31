"""What of the delivered objects a change changes, field by field, and what each does: to pods, to routes, to clients."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from rules.facts.shapes import described
from rules.facts.values import path as written
from rules.facts.workloads import ObjectId, Workloads

_TEMPLATE = ("spec", "template")
_OF_QUANTITIES = (("resources", "requests"), ("resources", "limits"))
_UNITS = {
    "m": Fraction(1, 1000),
    **{unit: Fraction(1000**power) for power, unit in enumerate(("", "k", "M", "G", "T"))},
    **{unit: Fraction(1024**power) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
}


@dataclass(frozen=True)
class Difference:
    """A field, or a whole object, that is not what it was.

    Attributes:
        of: The object.
        path: The keys that lead to the field; in a list, the name of its entry in brackets or its position. Empty for the whole
            object.
        before: Its value; None where it is not there.
        after: Likewise.
        pods: How many pods the object had.
    """

    of: ObjectId
    path: tuple[str | int, ...]
    before: object
    after: object
    pods: int = 0

    @property
    def where(self) -> str:
        """The field as people write it, without the object."""
        steps = (step if str(step).startswith("[") else written([step]) for step in self.path)
        return "".join(map(str, steps)).removeprefix(".")

    @property
    def restarts(self) -> bool:
        """Whether all pods of the object are made anew."""
        return self.of.kind == "Deployment" and self.path[:2] == _TEMPLATE

    @property
    def effect(self) -> str:
        """What the change does."""
        if not self.path:
            return "is no longer applied" if self.after is None else "is applied from now on"
        if self.restarts:
            return f"restarts its {self.pods} pods" if self.pods else "it has no pods that would restart"
        return described(self.of.kind, self.path) or "no rule knows what it does"


def differences(before: Workloads, after: Workloads) -> tuple[Difference, ...]:
    """Everything in which the objects differ, known to a rule or not. Two ways to write one quantity do not differ."""
    pods = {each.id: each.replicas for each in before.deployments}
    return tuple(
        Difference(of, path, old, new, pods.get(of, 0))
        for of in sorted({*before.documents, *after.documents})
        for path, old, new in _differing(before.documents.get(of), after.documents.get(of), ())
    )


def _differing(
    before: object, after: object, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], object, object]]:
    if before is after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        old, new = before, after
    elif isinstance(before, list) and isinstance(after, list):
        old, new = _entries(before, after)
    else:
        same = before == after or (path[-3:-1] in _OF_QUANTITIES and _amount(before) == _amount(after))
        # in Python, true is 1
        if not same or isinstance(before, bool) is not isinstance(after, bool):
            yield path, before, after
        return
    for key in dict.fromkeys([*old, *new]):
        yield from _differing(old.get(key), new.get(key), (*path, key))


def _amount(quantity: object) -> object:
    """The value of a quantity, as the API server reads it; anything else as it is."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", str(quantity))
    return Fraction(found[1]) * _UNITS[found[2]] if found and found[2] in _UNITS else quantity


def _entries(
    before: Sequence[object], after: Sequence[object]
) -> tuple[Mapping[str | int, object], Mapping[str | int, object]]:
    """The entries of two lists by their names, where all have one, else by their positions."""
    named = [
        [f"[{each['name']}]" for each in side if isinstance(each, Mapping) and "name" in each]
        for side in (before, after)
    ]
    if all(len({*names}) == len(side) for names, side in zip(named, (before, after), strict=True)):
        return dict(zip(named[0], before, strict=True)), dict(zip(named[1], after, strict=True))
    return dict(enumerate(before)), dict(enumerate(after))
