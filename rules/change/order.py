"""Make before break: nothing that requests need goes before they do, and nothing gets requests before it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rules.change.transition import (
    Transition,
    acknowledged,
    between_revisions,
    delivered,
    routes_of,
    rules_of,
    weights_text,
)
from rules.facts.region import Change
from rules.facts.versions import selects
from rules.facts.workloads import ALL, Deployment, Workloads
from rules.finding import Rule, Violation
from rules.model.changes import outage
from rules.region.selection import labels_text


def _removed_while_routed(transition: Transition) -> Iterator[Violation]:
    for name, old in transition.old.items():
        if (old.weight > 0 or old.testers) and (losses := _losses(transition, name)):
            has = f"{old.weight} % of the requests" if old.weight > 0 else "the requests of testers"
            yield Violation(
                next(iter(losses)),
                f"{' and '.join(losses.values())} in the change that finds {name} with {has}",
                steps=_retirement(transition, name) if old.weight > 0 else _without_testers(transition, name),
            )


def _losses(transition: Transition, version: str) -> dict[str, str]:
    """What a version loses that its requests need, by place; nothing if it had not all of it before."""
    before, after = transition.before.workloads, transition.after.workloads
    if not (had := _pods(before, version)):
        return {}
    labels, new_labels = _subsets(before)[version], _subsets(after).get(version)
    losses = {}
    if new_labels is None:
        losses[f"{rules_of(before, version)[0].id}: spec.subsets"] = f"the subset {version} goes"
    elif new_labels != labels and not _selected(new_labels, after.deployments):
        where = f"{rules_of(after, version)[0].id}: spec.subsets[{version}].labels"
        losses[where] = f"the labels {labels_text(new_labels)} of the subset {version} match no pod"
    if not _selected(labels, _meanwhile(transition)) or not _selected(new_labels or labels, after.deployments):
        losses |= {where: what for each in had for where, what in _loss(each, labels, after)}
    return losses


def _meanwhile(transition: Transition) -> list[Deployment]:
    """The Deployments that have pods all the while, with the labels that these come to have.

    What is new may never be ready. Pulumi deletes what is to go only when all that is new is; Argo CD prunes it in the second attempt,
    which waits for nothing that the first one applied.
    """
    before, after = transition.before.workloads.deployments, transition.after.workloads.deployments
    stood = {each.id for each in before if each.replicas > 0}
    stays = {each.id for each in after}
    by_pulumi_alone = transition.before.delivery == transition.after.delivery == "direct"
    goes = [each for each in before if each.id not in stays] if by_pulumi_alone else []
    return [*(each for each in after if each.id in stood), *goes]


def _loss(deployment: Deployment, labels: Mapping[str, str], after: Workloads) -> Iterator[tuple[str, str]]:
    """How the pods of a Deployment leave a subset with these labels, if they do: the place, and what happens there."""
    name = deployment.id.name
    now = next((each for each in after.deployments if each.id == deployment.id), None)
    if now is None:
        yield str(deployment.id), f"the Deployment {name} goes"
    elif now.replicas == 0:
        yield f"{now.id}: spec.replicas", f"the Deployment {name} goes from {deployment.replicas} pods to 0"
    elif not selects(labels, now.labels):
        yield (
            f"{now.id}: spec.template.metadata.labels",
            f"the pods of {name} come to have the labels {labels_text(now.labels)}, which are not those of its subset, "
            f"{labels_text(labels)}",
        )


def _retirement(transition: Transition, version: str) -> tuple[str, ...]:
    """The same change in commits of which none takes away what requests may still need."""
    end = delivered(transition.after)
    weights = dict.fromkeys(transition.old, 0) | {name: new.weight for name, new in transition.new.items()}
    if weights[version] == 0 and sum(weights.values()) == ALL:
        return (
            f"set the weights to {weights_text(weights)} and leave everything else of {version} as it is; {end}",
            acknowledged(transition.after),
            f"then {'make the rest of this change' if version in transition.new else f'remove {version}'}; {end}",
        )
    return (
        f"set the weight of {version} to 0, give what it had to others, leave everything else of it as it is; {end}",
        acknowledged(transition.after),
        f"then make this change of {version}, with weight 0; {end}",
        acknowledged(transition.after),
        f"then give {version} its weight back, if it is to have one; {end}",
    )


def _without_testers(transition: Transition, version: str) -> tuple[str, ...]:
    end = delivered(transition.after)
    return (
        f"set testers: false for {version} and leave everything else of it as it is; {end}",
        acknowledged(transition.after),
        f"then make this change; {end}",
    )


def _introduced_with_requests(transition: Transition) -> Iterator[Violation]:
    after = transition.after
    for name, new in transition.new.items():
        if new.weight > 0 and not transition.weight_before(name) and (lacks := _lacks(transition, name)):
            yield Violation(
                f"{routes_of(after.workloads, name)[0].id}: spec.http",
                f"{name} gets its first {new.weight} % of the requests in the change that brings {lacks}",
                steps=_introduction(transition, name, new.weight),
            )


def _lacks(transition: Transition, version: str) -> str:
    """What this change brings of what a version's requests need; nothing if it brings not all, of which other rules speak."""
    before, after = transition.before.workloads, transition.after.workloads
    if not _pods(after, version):
        return ""
    labels = _subsets(before).get(version)
    if labels is None:
        return f"the subset {version}" if _selected(_subsets(after)[version], before.deployments) else "all that it has"
    if not _selected(labels, before.deployments) or not _selected(labels, _meanwhile(transition)):
        return "the pods of its subset"
    return ""


def _introduction(transition: Transition, version: str, weight: int) -> tuple[str, ...]:
    """The same change in commits of which none routes to what may not be there."""
    after = transition.after
    weights = {name: old.weight for name, old in transition.old.items() if old.weight > 0}
    if sum(weights.values()) == ALL and weights.keys() <= transition.new.keys():
        weights = {name: weights.get(name, 0) for name in transition.new}
        first = f"leave the weights at {weights_text(weights)} and make the rest of this change"
    else:
        first = f"make this change with weight 0 for {version}, and give its {weight} % to others"
    return (
        f"{first}; {delivered(after)}",
        acknowledged(after),
        f"then set the weight of {version} to {weight}; {delivered(after)}",
    )


def _breaks(change: Change) -> Iterator[Violation]:
    if steps := outage(change):
        yield Violation(f"the whole change of {change.service}", "some order of events answers 503", steps=steps)


def _subsets(workloads: Workloads) -> dict[str, Mapping[str, str]]:
    return {subset.name: subset.labels for rule in workloads.destination_rules for subset in rule.subsets}


def _pods(workloads: Workloads, version: str) -> list[Deployment]:
    """The Deployments that a version's subset finds pods of."""
    labels = _subsets(workloads).get(version)
    return [] if labels is None else _selected(labels, workloads.deployments)


def _selected(labels: Mapping[str, str], deployments: Iterable[Deployment]) -> list[Deployment]:
    """Those of the Deployments that have pods with these labels."""
    return [each for each in deployments if each.replicas > 0 and selects(labels, each.labels)]


MAKE_BEFORE_BREAK: Rule[Change] = Rule(
    id="make-before-break",
    holds="In no order in which this change can reach the cluster and its proxies does a request meet nothing.",
    reason="a proxy learns of each object at its own time, so what can happen will happen to some of them",
    mend="make the change in commits of which each is safe",
    fact="docs/make-before-break.md",
    check=_breaks,
)

ORDER: tuple[Rule[Change], ...] = (
    Rule(
        id="removed-only-when-idle",
        holds="A version loses its subset or its pods only if no route sent it a request in the revision before, testers' neither.",
        reason="the subset and the pods go before every proxy knows the new routes, and whoever still routes there gets 503",
        mend="take the weight away in one commit, and the rest in the next",
        fact="https://istio.io/latest/docs/ops/best-practices/traffic-management/#avoid-503-errors-while-reconfiguring-service-routes",
        check=between_revisions(_removed_while_routed),
    ),
    Rule(
        id="introduced-idle",
        holds="A version gets its first requests only in a change after the one that brings its pods and its subset.",
        reason="a second attempt does not wait for pods that never got ready, and one push of subset and route is too early for a "
        "proxy: both answer 503",
        mend="introduce the version with weight 0, and raise its weight in the next change",
        fact="docs/make-before-break.md#what-it-found",
        check=between_revisions(_introduced_with_requests),
    ),
    MAKE_BEFORE_BREAK,
)
