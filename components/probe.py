"""The clients that send the measuring requests: pods in a namespace of their own, driven through exec."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from components.names import recommended_labels
from components.namespace import restricted_context

NAMESPACE = "echo-probe"
PROBE = "probe"
OUTSIDE = f"{PROBE}-outside"


@dataclass(frozen=True)
class EchoProbeArgs:
    """The image of the load generator, and whether there is a client outside the mesh too, for what a gateway is to be asked."""

    image: str
    outside: bool = False


class EchoProbe(pulumi.ComponentResource):
    """An idle pod that sends requests only while somebody runs its load generator in it, and one without a sidecar.

    They live outside the namespace of echo, so that a measurement is what any other client would see. A sidecar routes the
    requests by itself, wherever they are sent: what comes through a gateway can only be measured without one.
    """

    def __init__(self, name: str, args: EchoProbeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:probe:EchoProbe", name, None, opts)
        labels = _labels(PROBE)
        namespace = core.Namespace(
            name,
            metadata=meta.ObjectMetaArgs(name=NAMESPACE, labels={"istio-injection": "enabled", **labels}),
            opts=pulumi.ResourceOptions(parent=self),
        )
        metadata = meta.ObjectMetaArgs(name=PROBE, namespace=NAMESPACE, labels=labels)
        account = core.ServiceAccount(
            name,
            metadata=metadata,
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace]),
        )
        deployed = pulumi.ResourceOptions(
            parent=self,
            depends_on=[account],
            custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m"),
        )
        apps.Deployment(name, metadata=metadata, spec=_deployment(labels, args.image), opts=deployed)
        if args.outside:
            labels = _labels(OUTSIDE)
            apps.Deployment(
                f"{name}-outside",
                metadata=meta.ObjectMetaArgs(name=OUTSIDE, namespace=NAMESPACE, labels=labels),
                spec=_deployment({**labels, "sidecar.istio.io/inject": "false"}, args.image),
                opts=deployed,
            )
        self.register_outputs({})


def _labels(app: str) -> dict[str, str]:
    return {"app": app, **recommended_labels(PROBE, app, "client")}


def _deployment(labels: dict[str, str], image: str) -> apps.DeploymentSpecArgs:
    return apps.DeploymentSpecArgs(
        replicas=1,
        selector=meta.LabelSelectorArgs(match_labels={"app": labels["app"]}),
        revision_history_limit=5,
        progress_deadline_seconds=120,
        # never two that are ready, so that the one that is found is the one that stays. Not Recreate: while its old pod ends, the
        # provider takes the old pod's readiness for the new one's, and an image that cannot be pulled comes up green
        strategy=apps.DeploymentStrategyArgs(
            type="RollingUpdate",
            rolling_update=apps.RollingUpdateDeploymentArgs(max_surge=0, max_unavailable=1),
        ),
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=labels),
            spec=core.PodSpecArgs(
                service_account_name=PROBE,
                automount_service_account_token=False,
                enable_service_links=False,
                termination_grace_period_seconds=5,
                containers=[_container(image)],
            ),
        ),
    )


def _container(image: str) -> core.ContainerArgs:
    return core.ContainerArgs(
        name=PROBE,
        image=image,
        image_pull_policy="IfNotPresent",
        args=["idle"],
        # no limit of CPU: a throttled client would measure itself
        resources=core.ResourceRequirementsArgs(requests={"cpu": "25m", "memory": "32Mi"}, limits={"memory": "256Mi"}),
        security_context=restricted_context(),
    )
