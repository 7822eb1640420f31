"""What is well in a lab and what is not, component by component and pod by pod."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lab.delivery import application
from lab.delivery.remote import Remote
from lab.machine.processes import Daemon, tail
from lab.region.cluster import Cluster
from lab.report import LabError


@dataclass(frozen=True)
class Finding:
    """The state of one component or pod.

    Attributes:
        region: where.
        component: what: a process of the region, or `namespace/pod`.
        well: whether it does its work.
        detail: one line for a person, and one more for each thing that Argo CD finds wrong.
        log: the last lines of its log, if it is not well.
    """

    region: str
    component: str
    well: bool
    detail: str
    log: str = ""


def of_cluster(cluster: Cluster, remote: Remote) -> list[Finding]:
    """Every component of a region, what Argo CD says, then every pod that is not well.

    Args:
        cluster: the region.
        remote: what its Argo CD reads.
    """
    try:
        wanted = cluster.components()
    except LabError as error:
        return [Finding(cluster.region.name, "cluster", False, str(error))]
    found = [of_process(daemon) for daemon in wanted]
    if all(finding.well for finding in found):
        found += [*_argocd(cluster, remote), *_pods(cluster)]
    return found


def of_process(daemon: Daemon) -> Finding:
    """Whether a process of the lab is there and answers."""
    runs = daemon.is_running()
    well = runs and daemon.answers()
    detail = "well" if well else "runs, but does not answer" if runs else "is not running"
    return Finding(daemon.region, daemon.name, well, detail, "" if well else tail(daemon.log))


def _argocd(cluster: Cluster, remote: Remote) -> list[Finding]:
    try:
        delivered = application.look_anew(cluster.kubectl)
    except LabError as error:
        return [Finding(cluster.region.name, "argocd", False, str(error))]
    return [argocd(cluster.region.name, each, remote) for each in delivered]


def argocd(region: str, delivered: application.Delivered, remote: Remote) -> Finding:
    """What Argo CD of a region says of an Application, beside what is committed."""
    here, newest = remote.commit(delivered.revision), remote.head()
    behind = newest is not None and (here is None or here.id != newest.id)
    lines = [
        f"{delivered} at {here or delivered.revision or 'no commit'}" + f", not at {newest}" * behind,
        *["was asked to look, and has not yet"] * delivered.looks,
        *([delivered.step] if delivered.step and not delivered.troubles else []),
        *(delivered.troubles or delivered.differing),
    ]
    return Finding(
        region, f"argocd/{delivered.name}", delivered.well and not behind and not delivered.looks, "\n".join(lines)
    )


def _pods(cluster: Cluster) -> list[Finding]:
    answer = cluster.kubectl("get", "pods", "--all-namespaces", "-o", "json")
    if answer.returncode != 0:
        return [Finding(cluster.region.name, "pods", False, answer.stderr.strip())]
    pods = json.loads(answer.stdout)["items"]
    unwell = [pod for pod in pods if not _is_ready(pod)]
    summary = Finding(cluster.region.name, "pods", not unwell, f"{len(pods) - len(unwell)} of {len(pods)} ready")
    return [summary, *(_finding(cluster, pod) for pod in unwell)]


def _is_ready(pod: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _finding(cluster: Cluster, pod: dict[str, dict[str, object]]) -> Finding:
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    statuses = pod["status"].get("containerStatuses") or []
    assert isinstance(statuses, list)
    waiting = [status["state"].get("waiting", {}) for status in statuses]
    reasons = [f"{item.get('reason')}: {item.get('message', '')}".strip(": ") for item in waiting if item]
    log = cluster.kubectl("logs", "--namespace", str(namespace), str(name), "--tail=8", "--all-containers")
    detail = "; ".join(reasons) or str(pod["status"].get("phase"))
    return Finding(cluster.region.name, f"{namespace}/{name}", False, detail, log.stdout.rstrip())
