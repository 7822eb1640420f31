"""How fast a change may move requests, and who decides that."""

from __future__ import annotations

from collections.abc import Iterator

from rules.change.transition import Rise, Transition, acknowledged, between_revisions, delivered, routes_of
from rules.facts.region import Change
from rules.facts.workloads import ALL
from rules.finding import Rule, Severity, Violation
from rules.region.capacity import pods_for_all_traffic, stable_version


def _rises_too_much(transition: Transition) -> Iterator[Violation]:
    allowed = transition.before.limits.largest_increase
    for rise in transition.rises:
        if rise.points > allowed:
            yield Violation(
                f"{routes_of(transition.after.workloads, rise.version)[0].id}: weight of {rise.version}",
                f"{rise} is {rise.points} points more, and {allowed} were allowed (rules.largestIncrease before this change)",
                steps=_smaller_rises(transition, rise, allowed),
            )


def _smaller_rises(transition: Transition, rise: Rise, allowed: int) -> tuple[str, ...]:
    """As few as may be, of nearly the same size, each measured before the next."""
    count = -(-rise.points // allowed)
    end = delivered(transition.after)
    steps: list[str] = []
    for step in range(1, count + 1):
        weight = rise.before + rise.points * step // count
        steps += [f"set the weight of {rise.version} to {weight}; {end}", acknowledged(transition.after)]
    return tuple(steps[:-1])


def _changes_image(transition: Transition) -> Iterator[Violation]:
    for name in transition.moved_images:
        old, new = transition.old[name], transition.new[name]
        yield Violation(
            f"{new.deployments[0].id}: spec.template.spec.containers",
            f"{', '.join(old.images)} → {', '.join(new.images)} while {name} has {old.weight} % of the requests",
        )


def _loosens(transition: Transition) -> Iterator[Violation]:
    before, after = transition.before.limits, transition.after.limits
    if after.largest_increase > before.largest_increase:
        yield Violation("$.rules.largestIncrease", f"{before.largest_increase} → {after.largest_increase}")
    if after.introduce_together and not before.introduce_together:
        yield Violation("$.rules.introduceTogether", "false → true")
    if tags := [each for each in after.immutable_tags if each not in before.immutable_tags]:
        yield Violation("$.rules.immutableTags", f"more tags count as immutable: {', '.join(tags)}")
    if paths := [each for each in after.may_differ if each not in before.may_differ]:
        yield Violation("$.rules.mayDiffer", f"more may differ: {', '.join(paths)}")
    if windows := [str(each) for each in before.freeze if each not in after.freeze]:
        yield Violation("$.rules.freeze", f"fewer windows: without {', '.join(windows)}")
    for rule, reason in after.waived.items():
        if rule not in before.waived:
            yield Violation(f"$.rules.waived.{rule}", f"a rule is waived: {reason}")


def _loosens_for_service(transition: Transition) -> Iterator[Violation]:
    old, new = pods_for_all_traffic(transition.before), transition.after.limits.pods_for_all_traffic
    if new is not None and new < old:
        yield Violation(f"$.services.{transition.service}.podsForAllTraffic", f"{old} → {new}")
    name = transition.after.limits.stable
    if name is None or name == stable_version(transition.before):
        return
    version = transition.old.get(name)
    if version is None or (
        version.weight < ALL and not set(version.images) <= transition.proven.get(name, frozenset())
    ):
        yield Violation(
            f"$.services.{transition.service}.stable",
            f"→ {name}, which never had all requests here nor was the stable one, and may from now on get them at once",
        )


_LOOSENED = "from the next change on, what was refused passes; for this one the limits before it hold"
_AGREED = "see that the reason is written down, and that somebody who answers for this region agrees"

PACE: tuple[Rule[Change], ...] = (
    Rule(
        id="increase-limited",
        holds="The weight of a canary rises by no more points than rules.largestIncrease, 50 where it is not set, in one change.",
        reason="what nobody has seen yet at this scale would get most of the requests before anybody can look",
        mend="raise it in smaller steps, and measure in between; less weight, and the return to a version that had all requests or "
        "was the stable one, are always allowed",
        fact="https://sre.google/workbook/canarying-releases/",
        check=between_revisions(_rises_too_much),
    ),
    Rule(
        id="image-changed-under-requests",
        holds="The image of a version that has requests does not change.",
        reason="all of its requests move to the new image, none of them as a canary, and no weight takes them back",
        mend="give the new image a version of its own, and move the weight there",
        fact="https://sre.google/workbook/canarying-releases/",
        severity=Severity.WARNING,
        check=between_revisions(_changes_image),
    ),
    Rule(
        id="limits-loosened",
        holds="What the rules allow does not become more.",
        reason=_LOOSENED,
        mend=_AGREED,
        fact="docs/rules.md#limits-and-waivers",
        severity=Severity.WARNING,
        check=between_revisions(_loosens),
        of_service=False,
    ),
    Rule(
        id="service-limits-loosened",
        holds="What the rules allow by a service's stable and podsForAllTraffic does not become more.",
        reason=_LOOSENED,
        mend=_AGREED,
        fact="docs/rules.md#limits-and-waivers",
        severity=Severity.WARNING,
        check=between_revisions(_loosens_for_service),
    ),
)
