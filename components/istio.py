"""Istio in one region: its namespace, the official Helm charts base and istiod, and Helm's own records of their releases.

The records are read before anything is touched. Pulumi's provider does not tell what they tell: it previews against a cluster that
does not answer, trips over an operation that was killed, and after a refresh takes a failed release for a good one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.helm import v3 as helm
from pulumi_kubernetes.meta import v1 as meta

from components.cluster import ClusterError, Connection
from stackfile.model import IstioConfig, MeshConfig

NAMESPACE = "istio-system"
_RELEASES = {"base": "istio-base", "istiod": "istiod"}
"""The names of the Helm releases by their charts, in the order in which they are installed."""
_READY_WITHIN_SECONDS = 300
"""How long Helm waits for istiod's pods: the pull of an image of 200 MB on a slow line, and a start of some seconds."""
_RECORDS = f"/api/v1/namespaces/{NAMESPACE}/secrets?labelSelector=owner%3Dhelm"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""The records hold whole charts, of which nothing is needed here."""


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
    """Istio's control plane, ready to inject sidecars when this component is done.

    The releases' names are fixed: chart base keeps its CRDs when it is uninstalled, and Helm lets no release of another name
    take them over.
    """

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
        base = self._release(name, "base", args, {}, namespace)
        self._release(name, "istiod", args, istiod_values(args), base)
        self.register_outputs({})

    def _release(
        self, name: str, chart: str, args: IstioInstallArgs, values: dict[str, Any], after: pulumi.Resource
    ) -> helm.Release:
        """Install a chart; a failed release stays, to be looked at and to be upgraded by the next update.

        The provider upgrades what its state calls failed, and a refresh makes it forget that. So the description of what comes after
        a failed revision names it: that is a change until the upgrade has been tried, and none afterwards.
        """
        istio, failed = args.istio, args.failed.get(_RELEASES[chart])
        repository = istio.charts if istio.charts.startswith(("https://", "http://")) else None
        return helm.Release(
            f"{name}-{chart}",
            name=_RELEASES[chart],
            namespace=NAMESPACE,
            chart=chart if repository else f"{istio.charts.rstrip('/')}/{chart}",
            repository_opts=helm.RepositoryOptsArgs(repo=repository) if repository else None,
            version=istio.version,
            values=values,
            description=f"after revision {failed}, which failed" if failed else None,
            # pods that start before istiod is ready get no sidecar, and nothing gives them one later
            skip_await=False,
            timeout=_READY_WITHIN_SECONDS,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[after]),
        )


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


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as Helm merges values: objects key by key, anything else is replaced."""
    both = {
        key: merged(under[key], value)
        for key, value in over.items()
        if isinstance(value, Mapping) and isinstance(under.get(key), Mapping)
    }
    return {**under, **over, **both}


@dataclass(frozen=True)
class HelmRevision:
    """One operation of Helm on a release: its number, and what became of it, as Helm's `status` label says."""

    release: str
    number: int
    status: str


def read_revisions(connection: Connection) -> Sequence[HelmRevision]:
    """Read the records of Istio's releases, the oldest first; none where the user may not list Secrets.

    Raises:
        ClusterError: If the cluster does not answer, or does not know the user.
    """
    found = connection.get(_RECORDS, _METADATA_ONLY)
    labels = [record["metadata"]["labels"] for record in (found["items"] or () if found else ())]
    revisions = [HelmRevision(each["name"], int(each["version"]), each["status"]) for each in labels]
    return sorted((each for each in revisions if each.release in _RELEASES.values()), key=lambda each: each.number)


def require_none_pending(revisions: Sequence[HelmRevision], connection: Connection) -> None:
    """Return if no operation of Helm is pending; in a preview, beside which an update may be running, only warn of it.

    Raises:
        ClusterError: If one is: Helm refuses to touch the release, and an update holds its stack's lock, so no update is running.
    """
    good = {each.release: each.number for each in revisions if each.status == "deployed"}
    for each in {each.release: each for each in revisions}.values():
        if not each.status.startswith("pending-"):
            continue
        # without a number Helm takes the revision before, good or not
        undo = f"rollback {each.release} {good.get(each.release, '')}".rstrip()
        if each.status == "pending-install":  # which has no revision to go back to
            undo = f"uninstall {each.release}"
        message = (
            f'Helm release "{each.release}" in {NAMESPACE} is {each.status} (revision {each.number}), because an update was killed '
            "or still runs. Helm refuses to change it until it is freed. If no update runs, free it, and run pulumi up again: "
            f"helm {undo} {connection.flags('kube-context')} --namespace {NAMESPACE} --wait"
        )
        if not pulumi.runtime.is_dry_run():
            raise ClusterError(message)
        pulumi.log.warn(message)


def failed_revisions(revisions: Sequence[HelmRevision]) -> Mapping[str, int]:
    """The latest revision that failed, by release; Helm keeps the record of it when a later one succeeds."""
    return {each.release: each.number for each in revisions if each.status == "failed"}
