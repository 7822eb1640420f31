"""Istio in one region: its Helm charts and how they are installed, and the control plane of the charts base and istiod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.helm import v3 as helm
from pulumi_kubernetes.meta import v1 as meta

from stackfile.model import IstioConfig, MeshConfig, RegionConfig

NAMESPACE = "istio-system"
STATISTICS = (
    r"cluster\.outbound\|[0-9]+\|[^|]+\|[^|]+\.svc\.cluster\.local;?\.upstream_rq_([1-5]xx|4[0-9]{2}|retry|time)"
)
"""What an Envoy keeps of each subset for `metrics.latency`: answers by status class and by 4xx status, retries, a histogram of latencies.

Of any service's subsets, so that a new service asks for no restart of its clients; few others have subsets.
"""
_READY_WITHIN_SECONDS = 300
"""How long Helm waits for a chart's pods: the pull of an image of 200 MB on a slow line, and a start of some seconds."""


@dataclass(frozen=True)
class Chart:
    """One of Istio's charts, and the release that it is installed as: its name and its namespace.

    A release's name is fixed: chart base keeps its CRDs when it is uninstalled, and Helm lets no release of another name take them
    over.
    """

    name: str
    release: str
    namespace: str

    def install(
        self,
        name: str,
        istio: IstioConfig,
        values: Mapping[str, Any],
        failed: Mapping[str, int],
        opts: pulumi.ResourceOptions,
    ) -> helm.Release:
        """Install the chart; a failed release stays, to be looked at and to be upgraded by the next update.

        The provider upgrades what its state calls failed, and a refresh makes it forget that. So the description of what comes after
        a failed revision names it: that is a change until the upgrade has been tried, and none afterwards.
        """
        revision = failed.get(self.release)
        repository = istio.charts if istio.charts.startswith(("https://", "http://")) else None
        return helm.Release(
            name,
            name=self.release,
            namespace=self.namespace,
            chart=self.name if repository else f"{istio.charts.rstrip('/')}/{self.name}",
            repository_opts=helm.RepositoryOptsArgs(repo=repository) if repository else None,
            version=istio.version,
            values=values,
            description=f"after revision {revision}, which failed" if revision else None,
            # pods that start before istiod is ready get no sidecar, and nothing gives them one later
            skip_await=False,
            timeout=_READY_WITHIN_SECONDS,
            opts=opts,
        )


BASE = Chart("base", "istio-base", NAMESPACE)
ISTIOD = Chart("istiod", "istiod", NAMESPACE)


@dataclass(frozen=True)
class IstioInstallArgs:
    """What an installation of Istio depends on.

    `region` is the cluster's name in the mesh. `failed` has the latest failed revision of each Helm release that has one. `latency` is
    whether proxies count by subset what `rollout promote` reads of latencies; those that run already begin when they start anew.
    """

    region: str
    mesh: MeshConfig
    istio: IstioConfig
    failed: Mapping[str, int] = field(default_factory=dict)
    latency: bool = False

    @classmethod
    def of(cls, config: RegionConfig, failed: Mapping[str, int]) -> IstioInstallArgs:
        """What a stack file says of it."""
        return cls(config.region, config.mesh, config.istio, failed, config.metrics.latency)


class IstioInstall(pulumi.ComponentResource):
    """Istio's control plane, ready to inject sidecars when this component is done."""

    def __init__(self, name: str, args: IstioInstallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:istio:IstioInstall", name, None, opts)
        namespace = core.Namespace(
            f"{name}-system",
            metadata=meta.ObjectMetaArgs(
                name=NAMESPACE,
                # how istiod tells its own network from those of other regions
                labels={"topology.istio.io/network": args.mesh.network},
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        base = BASE.install(f"{name}-base", args.istio, {}, args.failed, _child(self, namespace))
        ISTIOD.install(f"{name}-istiod", args.istio, istiod_values(args), args.failed, _child(self, base))
        self.register_outputs({})


def _child(of: pulumi.Resource, after: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(parent=of, depends_on=[after])


def istiod_values(args: IstioInstallArgs) -> dict[str, Any]:
    """Fill in the chart's values: who this cluster is in the mesh, and the user's values over them."""
    statistics = {"defaultConfig": {"proxyStatsMatcher": {"inclusionRegexps": [STATISTICS]}}} if args.latency else {}
    ours = {
        "meshConfig": {"trustDomain": args.mesh.trust_domain, **statistics},
        "global": {
            "meshID": args.mesh.mesh_id,
            "network": args.mesh.network,
            "multiCluster": {"clusterName": args.region},
        },
        # the chart's own 500m and 2Gi are for a mesh of hundreds of services
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
    }
    return merged(ours, args.istio.values)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as Helm merges values: objects key by key, anything else is replaced."""
    both = {
        key: merged(under[key], value)
        for key, value in over.items()
        if isinstance(value, Mapping) and isinstance(under.get(key), Mapping)
    }
    return {**under, **over, **both}
