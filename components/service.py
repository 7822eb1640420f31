"""A service in one region: one Deployment for each version behind one Service, and then the split of its traffic."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.policy import v1 as policy

from components.names import pod_labels, recommended_labels, selector
from components.namespace import restricted_context
from components.rendering import Typed
from components.traffic import TrafficPolicy, TrafficPolicyArgs, traffic_objects
from stackfile.model import QuantitiesConfig, RegionConfig, ServiceConfig, VersionConfig


@dataclass(frozen=True)
class ServiceDeploymentsArgs:
    """What runs of a service in a region."""

    region: str
    service: ServiceConfig


class ServiceDeployments(pulumi.ComponentResource):
    """One Deployment and one PodDisruptionBudget for each version, and the Service that stands for all of them.

    Done when every Deployment is ready, so that what depends on it may send traffic. It goes into the namespace of
    `ServiceNamespace`, which is not part of it: what is here can be delivered by other means than what is there.
    """

    def __init__(self, name: str, args: ServiceDeploymentsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        aliased = pulumi.ResourceOptions(aliases=[pulumi.Alias(type_="echo-rollout:echo:EchoDeployments")])
        super().__init__(
            "echo-rollout:service:ServiceDeployments", name, None, pulumi.ResourceOptions.merge(opts, aliased)
        )
        child = pulumi.ResourceOptions(parent=self)
        account, *others = deployment_objects(args)
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


def service_workloads(
    config: RegionConfig, service: ServiceConfig, opts: pulumi.ResourceOptions
) -> list[pulumi.ComponentResource]:
    """Build a service's workloads and, once they are ready, the split of their traffic; `opts` hold for both."""
    deployments = ServiceDeployments(service.name, ServiceDeploymentsArgs(config.region, service), opts)
    after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[deployments]))
    return [deployments, TrafficPolicy(service.name, TrafficPolicyArgs.of(config, service), after)]


def workload_objects(config: RegionConfig, service: ServiceConfig) -> list[dict[str, Any]]:
    """What `service_workloads` registers, as plain objects, with what Argo CD has to know of them, in no particular order."""
    deployed = deployment_objects(ServiceDeploymentsArgs(config.region, service))
    return [each.rendered() for each in (*deployed, *traffic_objects(TrafficPolicyArgs.of(config, service)))]


def deployment_objects(args: ServiceDeploymentsArgs) -> list[Typed]:
    """The objects of a `ServiceDeployments`, the ServiceAccount first."""
    service, name = args.service, args.service.name
    labels = {"app": name, **recommended_labels(name, name, "server")}
    account = core.ServiceAccountInitArgs(
        metadata=meta.ObjectMetaArgs(name=service.service_account or name, namespace=service.namespace, labels=labels),
        automount_service_account_token=False,
    )
    shared = meta.ObjectMetaArgs(name=name, namespace=service.namespace, labels=labels)
    objects = [
        Typed(core.ServiceAccount, name, account),
        Typed(core.Service, name, core.ServiceInitArgs(metadata=shared, spec=_service(service))),
    ]
    for version, config in service.versions.items():
        metadata = meta.ObjectMetaArgs(
            name=f"{name}-{version}", namespace=service.namespace, labels=pod_labels(name, version)
        )
        budget = policy.PodDisruptionBudgetInitArgs(metadata=metadata, spec=_budget(name, version))
        deployment = apps.DeploymentInitArgs(metadata=metadata, spec=_deployment(args, version, config))
        objects += [
            Typed(policy.PodDisruptionBudget, f"{name}-{version}", budget),
            Typed(apps.Deployment, f"{name}-{version}", deployment),
        ]
    return objects


def _service(service: ServiceConfig) -> core.ServiceSpecArgs:
    return core.ServiceSpecArgs(
        # no version: which of them answers is the routes' affair
        selector={"app": service.name},
        # the port's name tells Istio the protocol: without it mutual TLS hides the requests, and nothing can be split
        ports=[core.ServicePortArgs(name="http", port=service.port, target_port="http")],
    )


def _budget(service: str, version: str) -> policy.PodDisruptionBudgetSpecArgs:
    return policy.PodDisruptionBudgetSpecArgs(
        # not min_available: with one replica it would block every drain of a node for ever
        max_unavailable=1,
        unhealthy_pod_eviction_policy="AlwaysAllow",
        selector=meta.LabelSelectorArgs(match_labels=selector(service, version)),
    )


def _deployment(args: ServiceDeploymentsArgs, version: str, config: VersionConfig) -> apps.DeploymentSpecArgs:
    name = args.service.name
    return apps.DeploymentSpecArgs(
        replicas=config.replicas,
        selector=meta.LabelSelectorArgs(match_labels=selector(name, version)),
        revision_history_limit=5,
        progress_deadline_seconds=120,
        strategy=apps.DeploymentStrategyArgs(
            type="RollingUpdate",
            # never less than all replicas; a quarter more at a time is one more pod of three, and no day's work with hundreds
            rolling_update=apps.RollingUpdateDeploymentArgs(max_unavailable=0, max_surge="25%"),
        ),
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=pod_labels(name, version)), spec=_pod(args, version, config)
        ),
    )


def _pod(args: ServiceDeploymentsArgs, version: str, config: VersionConfig) -> core.PodSpecArgs:
    service = args.service
    mounted = list(_mounted(service, config))
    return core.PodSpecArgs(
        service_account_name=service.service_account or service.name,
        automount_service_account_token=False,
        enable_service_links=False,
        termination_grace_period_seconds=service.drain.grace_seconds,
        topology_spread_constraints=[
            _spread(service.name, version, key) for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        containers=[_container(args, config, [mount for mount, _ in mounted])],
        volumes=[volume for _, volume in mounted] or None,
    )


def _mounted(service: ServiceConfig, config: VersionConfig) -> Iterator[tuple[core.VolumeMountArgs, core.VolumeArgs]]:
    """What a container finds in its folders, each with where that is from."""
    sources: dict[str, dict[str, Any]] = {path: {"empty_dir": {}} for path in service.writable}
    sources |= {path: {"config_map": {"name": name}} for path, name in config.config_maps.items()}
    sources |= {path: {"secret": {"secretName": name}} for path, name in config.secrets.items()}
    for number, (path, source) in enumerate(sorted(sources.items())):
        mount = core.VolumeMountArgs(name=f"folder-{number}", mount_path=path)
        yield mount, core.VolumeArgs(name=f"folder-{number}", **source)


def _spread(service: str, version: str, topology_key: str) -> core.TopologySpreadConstraintArgs:
    return core.TopologySpreadConstraintArgs(
        max_skew=1,
        topology_key=topology_key,
        # better crowded than not running: a region may have one node
        when_unsatisfiable="ScheduleAnyway",
        label_selector=meta.LabelSelectorArgs(match_labels=selector(service, version)),
        # old pods on their way out must not push the new ones aside
        match_label_keys=["pod-template-hash"],
    )


def _container(
    args: ServiceDeploymentsArgs, config: VersionConfig, mounts: list[core.VolumeMountArgs]
) -> core.ContainerArgs:
    service, probes, drain = args.service, args.service.probes, args.service.drain
    sleep = core.LifecycleHandlerArgs(sleep=core.SleepActionArgs(seconds=drain.seconds))
    return core.ContainerArgs(
        name=service.name,
        image=config.image,
        image_pull_policy="IfNotPresent",
        ports=[core.ContainerPortArgs(name="http", container_port=service.container_port)],
        env=_environment(args, config),
        resources=core.ResourceRequirementsArgs(
            requests=_quantities(service.resources.requests), limits=_quantities(service.resources.limits)
        ),
        lifecycle=core.LifecycleArgs(pre_stop=sleep) if drain.by == "sleep" else None,
        startup_probe=_probe(probes.startup, period_seconds=1, failure_threshold=30),
        readiness_probe=_probe(probes.readiness, period_seconds=2, failure_threshold=2),
        liveness_probe=_probe(probes.liveness, period_seconds=10, failure_threshold=3),
        security_context=restricted_context(service.run_as_user),
        volume_mounts=mounts or None,
    )


def _environment(args: ServiceDeploymentsArgs, config: VersionConfig) -> list[core.EnvVarArgs]:
    service, drain = args.service, args.service.drain
    version = core.EnvVarSourceArgs(
        # with the default written out: an atomic field that lacks it differs from itself as the API server keeps it,
        # and server-side apply by somebody else is then a conflict
        field_ref=core.ObjectFieldSelectorArgs(api_version="v1", field_path="metadata.labels['version']")
    )
    ours = {
        "REGION": core.EnvVarArgs(name="REGION", value=args.region),
        "VERSION": core.EnvVarArgs(name="VERSION", value_from=version),
        "PORT": core.EnvVarArgs(name="PORT", value=str(service.container_port)),
    }
    if drain.by == "server":
        ours["DRAIN_SECONDS"] = core.EnvVarArgs(name="DRAIN_SECONDS", value=str(drain.seconds))
    given = {**service.env, **config.env}
    return [*{**ours, **{name: core.EnvVarArgs(name=name, value=value) for name, value in given.items()}}.values()]


def _quantities(said: QuantitiesConfig) -> dict[str, str]:
    return {name: value for name, value in (("cpu", said.cpu), ("memory", said.memory)) if value is not None}


def _probe(path: str, *, period_seconds: int, failure_threshold: int) -> core.ProbeArgs:
    return core.ProbeArgs(
        http_get=core.HTTPGetActionArgs(path=path, port="http"),
        period_seconds=period_seconds,
        failure_threshold=failure_threshold,
        # the sidecar's agent passes probes on: the default of one second fails on a busy node
        timeout_seconds=3,
    )
