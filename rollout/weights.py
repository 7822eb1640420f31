"""Weights worked out: who gets what when a version is given its share. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rollout.problem import Problem, RolloutError, refuse
from rules.facts.versions import by_number
from stackfile.messages import nearest_of

ALL = 100
ALL_PODS = ""
"""The name that stands for no subset: echo's pods of every version alike, as without a VirtualService."""

_ASSIGNMENT = re.compile(r"(?P<version>[^=\s]+)=(?P<weight>[0-9]{1,3})%?")
_WHY = "a weight is a whole percent of the requests, and those of all versions make 100"


def routed(weights: Mapping[str, int]) -> dict[str, int]:
    """The weights of those that get requests: Istio drops a destination of weight 0."""
    return {version: weight for version, weight in weights.items() if weight}


def percents(weights: Mapping[str, int]) -> str:
    """Weights for people: `v1 90 %, v2 10 %`."""
    return ", ".join(f"{version} {weight} %" for version, weight in weights.items())


def shifted(weights: Mapping[str, int], version: str, to: int, rest_to: str | None = None) -> dict[str, int]:
    """The weights when one version gets `to`: the others share the rest as they shared it before.

    Args:
        weights: Whole percents by version.
        version: One of them.
        to: Its weight then, 0..100.
        rest_to: Who gets the rest where all others have 0 now; None if nobody.

    Raises:
        RolloutError: there is no such version, `to` is more than 100, or nobody is there for the rest.
    """
    return _assigned(weights, {version: to}, rest_to)


def assignments(wishes: Sequence[str], weights: Mapping[str, int], stable: str | None) -> dict[str, int]:
    """The weights when versions get what an operator wrote: the others share the rest as they shared it before.

    Args:
        wishes: Such as `v2=25`, one at least.
        weights: Whole percents by version, as they are now.
        stable: Who gets the rest where the others all have 0 now; None if nobody is known to.

    Raises:
        RolloutError: a wish that is none, of a version that is not there, or of one twice; or no split of 100. All problems of
            the wishes together.
    """
    wanted: dict[str, int] = {}
    problems: list[Problem] = []
    for wish in wishes:
        found = _ASSIGNMENT.fullmatch(wish)
        if found is None:
            problems.append(Problem(f"{wish!r} is not of the form VERSION=WEIGHT", _WHY, "write for instance v2=25"))
        elif found["version"] in wanted:
            problems.append(Problem(f"{found['version']} is given a weight twice", _WHY, "say one of them"))
        else:
            wanted[found["version"]] = int(found["weight"])
    refuse(problems)
    return _assigned(weights, wanted, stable)


def _assigned(weights: Mapping[str, int], wanted: Mapping[str, int], rest_to: str | None) -> dict[str, int]:
    known = sorted(weights, key=by_number)
    refuse(
        Problem(
            f"{name}: there is no such version here",
            "only a version with pods can answer requests",
            nearest_of(name, known, "versions"),
        )
        for name in wanted
        if name not in weights
    )
    others = {name: weight for name, weight in weights.items() if name not in wanted}
    rest = ALL - sum(wanted.values())
    if rest and others and not any(others.values()) and rest_to in others:
        others = {name: int(name == rest_to) for name in others}
    if rest < 0 or (rest > 0 and not any(others.values())):
        raise RolloutError(_no_split(weights, wanted, others))
    return {**dict.fromkeys(weights, 0), **wanted, **_in_proportion(rest, others)}


def _in_proportion(total: int, parts: Mapping[str, int]) -> dict[str, int]:
    """Whole numbers that make the total and stand to each other as the parts do: the largest remainders are rounded up.

    Where remainders are the same, the larger part goes first, and then v1 before v2 before v10.
    """
    whole = sum(parts.values())
    if whole == 0:
        return dict.fromkeys(parts, 0)
    shares = {name: divmod(total * part, whole) for name, part in parts.items()}
    missing = total - sum(quotient for quotient, _ in shares.values())
    order = sorted(parts, key=lambda name: (-shares[name][1], -parts[name], by_number(name)))
    raised = set(order[:missing])
    return {name: quotient + (name in raised) for name, (quotient, _) in shares.items()}


def _no_split(weights: Mapping[str, int], wanted: Mapping[str, int], others: Mapping[str, int]) -> Problem:
    given = " + ".join(f"{name} {weight}" for name, weight in wanted.items())
    total = sum(wanted.values())
    if total > ALL or not others:
        return Problem(f"{given} makes {total}, not 100", _WHY, "change them so that they make 100")
    idle = ", ".join(sorted(others, key=by_number))
    return Problem(
        f"{given} leaves {ALL - total} % to nobody: {idle} {'has' if len(others) == 1 else 'have'} weight 0",
        _WHY,
        f"say who gets it, for instance {next(iter(others))}={ALL - total}; the weights now are "
        + ", ".join(f"{name} {weight}" for name, weight in weights.items()),
    )
