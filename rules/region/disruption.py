"""What a drain of nodes and an update leave of a version's pods."""

from __future__ import annotations

from collections.abc import Iterator

from rules.facts.region import Region
from rules.facts.versions import versions
from rules.facts.workloads import ALL, Budget, Deployment, Workloads
from rules.finding import Rule, Severity, Violation
from rules.region.reading import all_read


def _with_requests(region: Region) -> list[Deployment]:
    """The Deployments that answer requests now."""
    answering = [version for version in versions(region.workloads).values() if version.weight > 0]
    return [each for version in answering for each in version.deployments if each.replicas > 0]


def _budgets(deployment: Deployment, workloads: Workloads) -> list[Budget]:
    return [each for each in workloads.budgets if _covers(each, deployment)]


def _covers(budget: Budget, deployment: Deployment) -> bool:
    """A budget with an empty selector covers its whole namespace."""
    return budget.id.namespace == deployment.id.namespace and budget.selector.items() <= deployment.labels.items()


def _evictions(budget: Budget, workloads: Workloads) -> int:
    """How many pods may be evicted at a time while all are ready; percents are rounded up, and no limit allows none."""
    pods = sum(each.replicas for each in workloads.deployments if _covers(budget, each))
    if budget.max_unavailable is not None:
        return min(pods, _pods(budget.max_unavailable, pods, round_up=True))
    if budget.min_available is not None:
        return max(0, pods - _pods(budget.min_available, pods, round_up=True))
    return 0


def _pods(limit: int | str, pods: int, *, round_up: bool) -> int:
    if isinstance(limit, int):
        return limit
    percents = pods * int(limit.removesuffix("%"))
    return -(-percents // ALL) if round_up else percents // ALL


def _limit(budget: Budget) -> tuple[str, int | str]:
    """Where its limit is, and what."""
    if budget.max_unavailable is not None:
        return f"{budget.id}: spec.maxUnavailable", budget.max_unavailable
    return f"{budget.id}: spec.minAvailable", "no limit" if budget.min_available is None else budget.min_available


def _not_one_budget(region: Region) -> Iterator[Violation]:
    for each in _with_requests(region):
        found = [str(budget.id) for budget in _budgets(each, region.workloads)]
        if len(found) > 1:
            yield Violation(
                str(each.id),
                f"its pods have {len(found)} budgets: {', '.join(found)}",
                "leave one of them: Kubernetes evicts no pod that has two, so that its node cannot be drained",
            )
        elif not found and all_read(region.workloads, "PodDisruptionBudget"):
            yield Violation(str(each.id), "its pods have no PodDisruptionBudget")


def _blocks_drains(region: Region) -> Iterator[Violation]:
    answering = _with_requests(region)
    for budget in region.workloads.budgets:
        if any(_covers(budget, each) for each in answering) and _evictions(budget, region.workloads) == 0:
            where, limit = _limit(budget)
            yield Violation(where, f"{limit} lets none of {_covered(budget, region)} go")


def _protects_nothing(region: Region) -> Iterator[Violation]:
    for each in _with_requests(region):
        budgets = _budgets(each, region.workloads)
        if len(budgets) != 1 or (evictions := _evictions(budgets[0], region.workloads)) < each.replicas:
            continue
        if each.replicas == 1:
            yield Violation(
                f"{each.id}: spec.replicas",
                "no budget can protect one pod",
                "give it 2 replicas or more",
                severity=Severity.WARNING,
            )
        else:
            where, limit = _limit(budgets[0])
            covered = _covered(budgets[0], region)
            yield Violation(where, f"{limit} lets {evictions} of {covered} go at a time, all of {each.id.name}")


def _covered(budget: Budget, region: Region) -> str:
    names = [(each.id.name, each.replicas) for each in region.workloads.deployments if _covers(budget, each)]
    pods = sum(replicas for _, replicas in names)
    return f"the {pods} pod{'s' if pods > 1 else ''} of {' and '.join(name for name, _ in names)}"


def _loses_pods_in_update(region: Region) -> Iterator[Violation]:
    for each in _with_requests(region):
        missing = min(each.replicas, _pods(each.unavailable, each.replicas, round_up=False))
        if missing > 0:
            yield Violation(
                f"{each.id}: spec.strategy",
                f"{missing} of its {each.replicas} pods may be missing during an update ({each.unavailable})",
                severity=Severity.REFUSED if missing == each.replicas else None,
            )


DISRUPTION: tuple[Rule[Region], ...] = (
    Rule(
        id="one-budget-for-pods",
        holds="The pods of a version that gets requests have exactly one PodDisruptionBudget.",
        reason="without one, a drain of nodes may take all of them at once",
        mend="give each version a budget that selects its pods",
        fact="https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-budgets",
        check=_not_one_budget,
    ),
    Rule(
        id="budget-allows-drain",
        holds="A PodDisruptionBudget lets at least one pod go while all are ready.",
        reason="a node with such a pod can never be drained, and whoever has to do it all the same deletes pods past the budget",
        mend="set maxUnavailable: 1 and no minAvailable",
        fact="https://kubernetes.io/docs/tasks/run-application/configure-pdb/#rounding-logic-when-specifying-percentages",
        check=_blocks_drains,
    ),
    Rule(
        id="budget-protects",
        holds="A PodDisruptionBudget never lets all pods of a version go at once.",
        reason="a drain may then take all of them, and its share fails with 503 until others are ready",
        mend="set maxUnavailable: 1",
        fact="https://kubernetes.io/docs/tasks/run-application/configure-pdb/#rounding-logic-when-specifying-percentages",
        check=_protects_nothing,
    ),
    Rule(
        id="update-keeps-pods",
        holds="An update of a version that gets requests takes no pod away before another is ready.",
        reason="the pods that are left have to answer for those that are missing, and where none is left the share fails with 503",
        mend="set strategy RollingUpdate with maxUnavailable: 0",
        fact="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-unavailable",
        severity=Severity.WARNING,
        check=_loses_pods_in_update,
    ),
)
