"""The client that sends the measuring requests: a pod with a sidecar, in a namespace of its own, driven through exec."""

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from components.names import recommended_labels
from components.namespace import restricted_context
from stackfile.model import ProbeConfig

NAMESPACE = "echo-probe"
PROBE = "probe"


class EchoProbe(pulumi.ComponentResource):
    """One idle pod that sends requests only while somebody runs its load generator in it.

    It lives outside the namespace of echo, so that a measurement is what any other client of the mesh would see.
    """

    def __init__(self, name: str, args: ProbeConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:probe:EchoProbe", name, None, opts)
        labels = {"app": PROBE, **recommended_labels(PROBE, PROBE, "client")}
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
        apps.Deployment(
            name,
            metadata=metadata,
            spec=_deployment(labels, args.image),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[account],
                custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m"),
            ),
        )
        self.register_outputs({})


def _deployment(labels: dict[str, str], image: str) -> apps.DeploymentSpecArgs:
    return apps.DeploymentSpecArgs(
        replicas=1,
        selector=meta.LabelSelectorArgs(match_labels={"app": PROBE}),
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
