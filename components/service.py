"""The service echo in one region: one Deployment for each version behind one Service, and then the split of its traffic."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.policy import v1 as policy

from components.names import CONTAINER_PORT, ECHO, ECHO_NAMESPACE, HTTP_PORT, pod_labels, recommended_labels, selector
from components.namespace import restricted_context
from components.rendering import Typed
from components.traffic import TrafficPolicy, traffic_objects
from stackfile.model import RegionConfig, VersionConfig

_DRAIN_SECONDS = 5
_GRACE_SECONDS = 30
"""More than the drain and the end of the slowest request together: whatever still runs then is killed."""


@dataclass(frozen=True)
class EchoDeploymentsArgs:
    """What runs as echo in a region; every answer names `region`."""

    region: str
    versions: Mapping[str, VersionConfig]


class EchoDeployments(pulumi.ComponentResource):
    """One Deployment and one PodDisruptionBudget for each version, and the Service that stands for all of them.

    Done when every Deployment is ready, so that what depends on it may send traffic. It goes into the namespace of
    `EchoNamespace`, which is not part of it: what is here can be delivered by other means than what is there.
    """

    def __init__(self, name: str, args: EchoDeploymentsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:echo:EchoDeployments", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        account, *others = deployment_objects(name, args)
        # not on the Service: that one is ready when it has pods
        deployed = pulumi.ResourceOptions(
            parent=self,
            depends_on=[account.register(child)],
            # the provider's ten minutes are a long wait for "image cannot be pulled"
            custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m"),
        )
        for each in others:
            each.register(deployed if each.of is apps.Deployment else child)
        self.register_outputs({})


def echo_workloads(config: RegionConfig, opts: pulumi.ResourceOptions) -> list[pulumi.ComponentResource]:
    """Build the workloads and, once they are ready, the split of their traffic; `opts` hold for both."""
    deployments = EchoDeployments("echo", EchoDeploymentsArgs(config.region, config.echo.versions), opts)
    after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[deployments]))
    return [deployments, TrafficPolicy("echo", config.echo, after)]


def workload_objects(config: RegionConfig) -> list[dict[str, Any]]:
    """What `echo_workloads` registers, as plain objects, with what Argo CD has to know of them, in no particular order."""
    deployed = deployment_objects(ECHO, EchoDeploymentsArgs(config.region, config.echo.versions))
    return [each.rendered() for each in (*deployed, *traffic_objects(config.echo))]


def deployment_objects(name: str, args: EchoDeploymentsArgs) -> list[Typed]:
    """The objects of an `EchoDeployments`, the ServiceAccount first."""
    shared = meta.ObjectMetaArgs(
        name=ECHO, namespace=ECHO_NAMESPACE, labels={"app": ECHO, **recommended_labels(ECHO, ECHO, "server")}
    )
    account = core.ServiceAccountInitArgs(metadata=shared, automount_service_account_token=False)
    objects = [
        Typed(core.ServiceAccount, name, account),
        Typed(core.Service, name, core.ServiceInitArgs(metadata=shared, spec=_service())),
    ]
    for version, config in args.versions.items():
        metadata = _metadata(version)
        budget = policy.PodDisruptionBudgetInitArgs(metadata=metadata, spec=_budget(version))
        deployment = apps.DeploymentInitArgs(metadata=metadata, spec=_deployment(args.region, version, config))
        objects += [
            Typed(policy.PodDisruptionBudget, f"{name}-{version}", budget),
            Typed(apps.Deployment, f"{name}-{version}", deployment),
        ]
    return objects


def _metadata(version: str) -> meta.ObjectMetaArgs:
    return meta.ObjectMetaArgs(name=f"{ECHO}-{version}", namespace=ECHO_NAMESPACE, labels=pod_labels(version))


def _service() -> core.ServiceSpecArgs:
    return core.ServiceSpecArgs(
        # no version: which of them answers is the routes' affair
        selector={"app": ECHO},
        # the port's name tells Istio the protocol: without it mutual TLS hides the requests, and nothing can be split
        ports=[core.ServicePortArgs(name="http", port=HTTP_PORT, target_port="http")],
    )


def _budget(version: str) -> policy.PodDisruptionBudgetSpecArgs:
    return policy.PodDisruptionBudgetSpecArgs(
        # not min_available: with one replica it would block every drain of a node for ever
        max_unavailable=1,
        unhealthy_pod_eviction_policy="AlwaysAllow",
        selector=meta.LabelSelectorArgs(match_labels=selector(version)),
    )


def _deployment(region: str, version: str, config: VersionConfig) -> apps.DeploymentSpecArgs:
    return apps.DeploymentSpecArgs(
        replicas=config.replicas,
        selector=meta.LabelSelectorArgs(match_labels=selector(version)),
        revision_history_limit=5,
        progress_deadline_seconds=120,
        strategy=apps.DeploymentStrategyArgs(
            type="RollingUpdate",
            # never less than all replicas; a quarter more at a time is one more pod of three, and no day's work with hundreds
            rolling_update=apps.RollingUpdateDeploymentArgs(max_unavailable=0, max_surge="25%"),
        ),
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=pod_labels(version)), spec=_pod(region, version, config.image)
        ),
    )


def _pod(region: str, version: str, image: str) -> core.PodSpecArgs:
    return core.PodSpecArgs(
        service_account_name=ECHO,
        automount_service_account_token=False,
        enable_service_links=False,
        termination_grace_period_seconds=_GRACE_SECONDS,
        topology_spread_constraints=[
            _spread(version, key) for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        containers=[_container(region, image)],
    )


def _spread(version: str, topology_key: str) -> core.TopologySpreadConstraintArgs:
    return core.TopologySpreadConstraintArgs(
        max_skew=1,
        topology_key=topology_key,
        # better crowded than not running: a region may have one node
        when_unsatisfiable="ScheduleAnyway",
        label_selector=meta.LabelSelectorArgs(match_labels=selector(version)),
        # old pods on their way out must not push the new ones aside
        match_label_keys=["pod-template-hash"],
    )


def _container(region: str, image: str) -> core.ContainerArgs:
    return core.ContainerArgs(
        name=ECHO,
        image=image,
        image_pull_policy="IfNotPresent",
        ports=[core.ContainerPortArgs(name="http", container_port=CONTAINER_PORT)],
        env=[
            core.EnvVarArgs(name="REGION", value=region),
            core.EnvVarArgs(
                name="VERSION",
                value_from=core.EnvVarSourceArgs(
                    # with the default written out: an atomic field that lacks it differs from itself as the API server keeps it,
                    # and server-side apply by somebody else is then a conflict
                    field_ref=core.ObjectFieldSelectorArgs(api_version="v1", field_path="metadata.labels['version']")
                ),
            ),
            core.EnvVarArgs(name="PORT", value=str(CONTAINER_PORT)),
            core.EnvVarArgs(name="DRAIN_SECONDS", value=str(_DRAIN_SECONDS)),
        ],
        resources=core.ResourceRequirementsArgs(
            requests={"cpu": "20m", "memory": "32Mi"}, limits={"cpu": "1", "memory": "64Mi"}
        ),
        startup_probe=_probe("/healthz", period_seconds=1, failure_threshold=30),
        readiness_probe=_probe("/readyz", period_seconds=2, failure_threshold=2),
        liveness_probe=_probe("/healthz", period_seconds=10, failure_threshold=3),
        security_context=restricted_context(),
    )


def _probe(path: str, *, period_seconds: int, failure_threshold: int) -> core.ProbeArgs:
    return core.ProbeArgs(
        http_get=core.HTTPGetActionArgs(path=path, port="http"),
        period_seconds=period_seconds,
        failure_threshold=failure_threshold,
        # the sidecar's agent passes probes on: the default of one second fails on a busy node
        timeout_seconds=3,
    )
