"""Istio's control plane in one region: its namespace, and the official Helm charts base and istiod."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from components.charts import Chart, merged
from stackfile.model import IstioConfig, MeshConfig

NAMESPACE = "istio-system"
BASE = Chart("base", "istio-base", NAMESPACE)
ISTIOD = Chart("istiod", "istiod", NAMESPACE)


@dataclass(frozen=True)
class IstioInstallArgs:
    """What an installation of Istio depends on.

    `region` is the cluster's name in the mesh. `failed` has the latest failed revision of each Helm release that has one.
    """

    region: str
    mesh: MeshConfig
    istio: IstioConfig
    failed: Mapping[str, int] = field(default_factory=dict)


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
    ours = {
        "meshConfig": {"trustDomain": args.mesh.trust_domain},
        "global": {
            "meshID": args.mesh.mesh_id,
            "network": args.mesh.network,
            "multiCluster": {"clusterName": args.region},
        },
        # the chart's own 500m and 2Gi are for a mesh of hundreds of services
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
    }
    return merged(ours, args.istio.values)
