"""How the workloads reach the cluster: by Argo CD, by Pulumi itself, or, on the way from one to the other, by both."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pulumi
from pulumi_kubernetes.meta import v1 as meta

from components.application import Applications, ApplicationsArgs
from components.argocd import ArgoCdInstall, Manifest
from components.names import ARGOCD_NAMESPACE
from rules.facts.workloads import Delivery
from stackfile.model import RegionConfig

_PLAIN_SWITCHES: dict[tuple[Any, Delivery], str] = {
    ("direct", "gitops"): "Pulumi would delete the workloads, and every request fail until Argo CD had made them anew",
    (
        "gitops",
        "direct",
    ): "Pulumi would find the workloads there and make none of them, and where argocd.cascade is set every "
    "request would fail until they were made anew",
}
_LET_GO = {
    "istio": "Pulumi would delete Istio: no request would be split or encrypted, and no pod get a sidecar",
    "argocd": "Pulumi would delete Argo CD with its kinds, and with them every Application of the cluster",
}


class DeliveryError(ValueError):
    """The stack cannot do without something, or deliver the workloads another way, at once."""


def require_handover(previous: Delivery | None, delivery: Delivery) -> None:
    """Return if the stack may deliver this way, after how it did when it last came up; a new stack may in any way.

    Raises:
        DeliveryError: If the one who delivers would let go of the workloads before the other has taken hold of them.
    """
    if harm := _PLAIN_SWITCHES.get((previous, delivery)):
        raise DeliveryError(
            f"delivery: {delivery} cannot follow delivery: {previous} at once — {harm}; set delivery: handover, run pulumi up, "
            f"and only then set delivery: {delivery} (docs/handover.md)"
        )


def installs(config: RegionConfig) -> dict[str, bool]:
    """What Pulumi would delete from the cluster if the stack did not install it any more."""
    return {
        "istio": config.istio.install and not config.istio.retain,
        "argocd": config.argocd.install and not config.argocd.retain and config.delivery != "direct",
    }


def require_retained(previous: Mapping[str, Any], config: RegionConfig) -> None:
    """Return if what the stack does not install any more stays on the cluster, after what it exported when it last came up.

    Raises:
        DeliveryError: If Pulumi would delete it.
    """
    # a stack from before told only how it delivers
    before = {"istio": bool(previous), "argocd": previous.get("delivery") in ("gitops", "handover")}
    installed = previous.get("installs", before)
    problems = [
        f"{key}.install: false cannot follow an update that installed it — {harm}; set {key}.retain: true in its place, run pulumi up, "
        f"and only then set {key}.install: false (docs/own-clusters.md)"
        for key, harm in _LET_GO.items()
        if installed[key] and not getattr(config, key).install
    ]
    if problems:
        raise DeliveryError("\n".join(problems))


def deliver(
    config: RegionConfig,
    manifest: Sequence[Manifest] | None,
    cluster: pulumi.ProviderResource,
    namespaces: Sequence[pulumi.Resource],
    new: Collection[str] = (),
) -> pulumi.Output[Delivery]:
    """Register who delivers into the namespaces, and what Pulumi itself is to apply.

    Without a `manifest` the Argo CD that is there delivers, where one does. Of a service that is `new` to the stack a hand-over
    takes every field that somebody else set.

    Returns the way of delivery, once all of that is on the cluster: an update that fails before leaves the stack's output as it
    was, so that a handover that was begun is not taken for one that was done.
    """
    objects: list[pulumi.CustomResource] = []

    def note(args: pulumi.ResourceTransformationArgs) -> None:
        if isinstance(args.resource, pulumi.CustomResource):
            objects.append(args.resource)

    options = pulumi.ResourceOptions(providers=[cluster], depends_on=[*namespaces], transformations=[note])
    if config.delivery != "gitops":
        # Istio's typed classes take a tenth of a second to import, and a region that Argo CD delivers needs none of them
        from components.service import service_workloads  # noqa: PLC0415

        for service in config.services.values():
            own = pulumi.ResourceOptions()
            if config.delivery == "direct" or service.name in new:
                own.transformations = [_taking_over]
            if config.delivery == "handover":
                own.transformations = [*(own.transformations or ()), retained]
            service_workloads(config, service, pulumi.ResourceOptions.merge(options, own))
    if config.delivery != "direct":
        assert config.repository is not None, "only direct delivery does without"
        # at the same time as what the Application needs besides
        own = pulumi.ResourceOptions(providers=[cluster], transformations=[retained] if config.argocd.retain else None)
        argocd = ArgoCdInstall("argocd", manifest, own) if manifest is not None else None
        applications = ApplicationsArgs(
            region=config.region,
            services=[*config.services.values()],
            project=config.argocd.project,
            repository=config.repository,
            argocd=argocd.namespace if argocd else ARGOCD_NAMESPACE,
            # what both hold must not go with one of them
            cascade=config.argocd.cascade and config.delivery == "gitops",
        )
        after = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[argocd] if argocd else []))
        Applications("services", applications, after)
    return pulumi.Output.all(*(each.id for each in objects)).apply(lambda _: config.delivery)


def retained(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """Leave an object on the cluster when the stack lets go of it; the option itself is not passed on to children."""
    kept = pulumi.ResourceOptions(retain_on_delete=True)
    return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, kept))


def _taking_over(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """Have the provider take every field of an object, even if another manager set it.

    Argo CD, which delivered before, still manages the fields that it applied: the next change of a weight would be a conflict with a
    manager that no longer acts. An annotation, because providers older than 4.29 know no setting for it.
    """
    if not isinstance(args.resource, pulumi.CustomResource):
        return None
    metadata: Any = args.props["metadata"]
    forced = meta.ObjectMetaArgs(
        name=metadata.name,
        namespace=metadata.namespace,
        labels=metadata.labels,
        annotations={**(metadata.annotations or {}), "pulumi.com/patchForce": "true"},
    )
    return pulumi.ResourceTransformationResult({**args.props, "metadata": forced}, args.opts)
