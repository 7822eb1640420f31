"""Whose pods are meant: by the Service, by each subset, by each Deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rules.facts.region import Region
from rules.facts.versions import VERSION_LABEL, selects, versions
from rules.facts.workloads import Deployment, DestinationRule, Subset, Workloads
from rules.finding import Rule, Violation
from rules.region.hosts import names, of_host, service_of
from rules.region.reading import all_read


def _not_of_one_deployment(region: Region) -> Iterator[Violation]:
    for rule in region.workloads.destination_rules:
        taken: dict[str, str] = {}
        for position, subset in enumerate(rule.subsets):
            where = f"{rule.id}: spec.subsets[{position}]"
            if subset.name in [each.name for each in rule.subsets[:position]]:
                yield Violation(f"{where}.name", f"{subset.name} is there twice")
                continue
            found = [each.id.name for each in _deployments(region.workloads, rule, subset)]
            if len(found) != 1:
                if found or all_read(region.workloads, "Deployment", "Service"):
                    of = " and ".join(found) or "no Deployment behind the host"
                    yield Violation(f"{where}.labels", f"{labels_text(subset.labels)} are on the pods of {of}")
            elif (other := taken.setdefault(found[0], subset.name)) != subset.name:
                yield Violation(
                    f"{where}.labels",
                    f"{labels_text(subset.labels)} are the pods of {found[0]}, as those of {other} are",
                )


def _deployments(workloads: Workloads, rule: DestinationRule, subset: Subset) -> list[Deployment]:
    """The Deployments whose pods are in a subset: those of the host with its labels, or all of them if it has no label."""
    service = service_of(rule.host, workloads)
    behind = workloads.deployments if service is None else of_host(service, workloads.deployments)
    return [each for each in behind if subset.labels.items() <= each.labels.items()]


def _wrong_service_pods(region: Region) -> Iterator[Violation]:
    workloads = region.workloads
    known = versions(workloads)
    wanted = {each.id: name for name, version in known.items() for each in version.deployments}
    for service in workloads.services:
        if not any(names(rule.host, service) for rule in workloads.destination_rules):
            continue
        where = f"{service.id}: spec.selector"
        behind = {each.id for each in of_host(service, workloads.deployments)}
        for deployment in workloads.deployments:
            if deployment.id in wanted and deployment.id not in behind:
                yield Violation(
                    where,
                    f"{labels_text(service.selector)} does not select the pods of {wanted[deployment.id]} ({deployment.id})",
                )
            if deployment.id in behind and deployment.id not in wanted and VERSION_LABEL not in deployment.labels:
                yield Violation(
                    where,
                    f"{labels_text(service.selector)} selects the pods of {deployment.id}, which are no version's",
                )


def _wrong_own_pods(region: Region) -> Iterator[Violation]:
    deployments = region.workloads.deployments
    for each in deployments:
        where = f"{each.id}: spec.selector.matchLabels"
        if not selects(each.selector, each.labels):
            yield Violation(
                where,
                f"{labels_text(each.selector)} does not select its own pods, which have {labels_text(each.labels)}",
            )
        for other in deployments:
            if other is not each and other.id.namespace == each.id.namespace and selects(each.selector, other.labels):
                yield Violation(where, f"{labels_text(each.selector)} selects the pods of {other.id} too")


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels in one phrase, such as `app=echo, version=v1`."""
    return ", ".join(f"{key}={value}" for key, value in labels.items()) or "no label"


SELECTION: tuple[Rule[Region], ...] = (
    Rule(
        id="subset-matches-one-deployment",
        holds="The labels of a subset are those of exactly one Deployment's pods, and each subset has another.",
        reason="a subset without pods answers 503, and one with another version's pods has its requests answered by that version",
        mend="give each subset the label version of its Deployment's pods",
        fact="https://istio.io/latest/docs/reference/config/networking/destination-rule/#Subset",
        check=_not_of_one_deployment,
    ),
    Rule(
        id="service-selects-versions",
        holds="The Service selects the pods of every version, and no other pods.",
        reason="a subset is a part of the Service's pods: what it does not select gets no request, and what it selects besides gets "
        "those of every client without a sidecar",
        mend="let the Service select what all versions have in common and nothing else has",
        fact="https://kubernetes.io/docs/concepts/services-networking/service/#defining-a-service",
        check=_wrong_service_pods,
    ),
    Rule(
        id="deployment-selects-own-pods",
        holds="The selector of a Deployment selects its own pods, and no other's.",
        reason="the API server refuses the one in the middle of a change, and with the other two Deployments take each other's pods "
        "for their own",
        mend="let selector and labels of the pods name the same version",
        fact="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector",
        check=_wrong_own_pods,
    ),
)
