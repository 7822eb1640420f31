"""What must hold of what a stack registers, besides the rules: that it delivers something, and in which order Pulumi applies it.

The order in which Argo CD applies an overlay, by waves, is judged by the rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.graph import Graph
from rules.facts.region import Region
from rules.finding import Finding, Rule, Violation

_EARLIER = {"DestinationRule": "Deployment", "VirtualService": "DestinationRule"}


_Registered = tuple[Graph, tuple[Region, ...]]
"""What a stack registers, and the region that comes of it: once for each who applies its workloads."""


def judge_registered(graph: Graph, regions: tuple[Region, ...]) -> tuple[Finding, ...]:
    """What is wrong with what a stack registers. Nothing of it can be waived: it is the program's fault, not the stack file's."""
    return tuple(
        Finding.of(rule, violation, regions[0].name)
        for rule in REGISTRATION
        for violation in rule.check((graph, regions))
    )


def _nothing_delivered(registered: _Registered) -> Iterator[Violation]:
    for region in registered[1]:
        if not region.workloads.virtual_services and not region.workloads.unreadable:
            yield Violation(f"delivery: {region.delivery}", "there is no VirtualService among the workloads")


def _out_of_order(registered: _Registered) -> Iterator[Violation]:
    graph = registered[0]
    for kind, earlier_kind in _EARLIER.items():
        for later, name in graph.of_kind(kind).items():
            for earlier, needed in graph.of_kind(earlier_kind).items():
                if not graph.waits_for(later, earlier):
                    yield Violation(str(name), f"does not depend on {needed}")


REGISTRATION: tuple[Rule[_Registered], ...] = (
    Rule(
        id="workloads-delivered",
        holds="Somebody delivers the workloads.",
        reason="what ran there would be removed, and every request fail",
        mend="register them by components/delivery.py, and have them rendered: make render",
        fact="docs/decisions/0018-policy-pack.md",
        check=_nothing_delivered,
    ),
    Rule(
        id="applied-in-order",
        holds="What Pulumi itself applies comes in this order: Deployments, DestinationRule, VirtualService.",
        reason="a route that comes before its subset or its pods, or goes after them, answers 503",
        mend="let it, or the component that it is part of, depend on that, as components/service.py and components/traffic.py do",
        fact="docs/decisions/0018-policy-pack.md",
        check=_out_of_order,
    ),
)
