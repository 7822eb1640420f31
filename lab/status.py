"""What is well in a lab and what is not, component by component and pod by pod."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lab.cluster import Cluster, ClusterError, tail


@dataclass(frozen=True)
class Finding:
    """The state of one component or pod.

    Attributes:
        region: where.
        component: what: a process of the region, or `namespace/pod`.
        well: whether it does its work.
        detail: one line for a person.
        log: the last lines of its log, if it is not well.
    """

    region: str
    component: str
    well: bool
    detail: str
    log: str = ""


def of_cluster(cluster: Cluster) -> list[Finding]:
    """Every component of a region, then every pod in it that is not well."""
    try:
        wanted = cluster.components()
    except ClusterError as error:
        return [Finding(cluster.region.name, "cluster", False, str(error))]
    found = []
    for component in wanted:
        runs = cluster.is_running(component)
        well = runs and component.answers()
        detail = "well" if well else "runs, but does not answer" if runs else "is not running"
        log = "" if well else tail(cluster.log(component.name))
        found.append(Finding(cluster.region.name, component.name, well, detail, log))
    if all(finding.well for finding in found):
        found += _pods(cluster)
    return found


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
