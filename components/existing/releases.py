"""Helm's own records of the releases of Istio's charts.

They are read before anything is touched. Pulumi's provider does not tell what they tell: it previews against a cluster that
does not answer, trips over an operation that was killed, and after a refresh takes a failed release for a good one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.existing.cluster import ClusterError, Connection
from components.istio import Chart

_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""The records hold whole charts, of which nothing is needed here."""


@dataclass(frozen=True)
class HelmRevision:
    """One operation of Helm on a release: its number, and what became of it, as Helm's `status` label says."""

    release: str
    number: int
    status: str
    namespace: str


def read_revisions(connection: Connection, charts: Sequence[Chart]) -> Sequence[HelmRevision]:
    """Read the records of the charts' releases, the oldest first; none where the user may not list Secrets.

    Raises:
        ClusterError: If the cluster does not answer, or does not know the user.
    """
    revisions = []
    for namespace in dict.fromkeys(chart.namespace for chart in charts):
        found = connection.get(f"/api/v1/namespaces/{namespace}/secrets?labelSelector=owner%3Dhelm", _METADATA_ONLY)
        labels = [record["metadata"]["labels"] for record in (found["items"] or () if found else ())]
        ours = {chart.release for chart in charts if chart.namespace == namespace}
        revisions += [
            HelmRevision(each["name"], int(each["version"]), each["status"], namespace)
            for each in labels
            if each["name"] in ours
        ]
    return sorted(revisions, key=lambda each: each.number)


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
            f'Helm release "{each.release}" in {each.namespace} is {each.status} (revision {each.number}), because an update was '
            "killed or still runs. Helm refuses to change it until it is freed. If no update runs, free it, and run pulumi up again: "
            f"helm {undo} {connection.flags('kube-context')} --namespace {each.namespace} --wait"
        )
        if not pulumi.runtime.is_dry_run():
            raise ClusterError(message)
        pulumi.log.warn(message)


def failed_revisions(revisions: Sequence[HelmRevision]) -> Mapping[str, int]:
    """The latest revision that failed, by release; Helm keeps the record of it when a later one succeeds."""
    return {each.release: each.number for each in revisions if each.status == "failed"}
