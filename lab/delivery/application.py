"""What Argo CD of a region says of the Application: asked to look, waited for, and read for people."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenacity import RetryError, retry, retry_if_result, stop_after_delay, wait_fixed

from lab.region.cluster import Cluster
from lab.report import LabError, Report

_NAMESPACE, _NAME = "argocd", "echo"
_PATH = f"/apis/argoproj.io/v1alpha1/namespaces/{_NAMESPACE}/applications/{_NAME}"
_ANNOTATION = "argocd.argoproj.io/refresh"
# Argo CD compares with the branch's newest commit, then takes the annotation away, together with what it found
REFRESH = (
    f"--namespace={_NAMESPACE}",
    "patch",
    "applications.argoproj.io",
    _NAME,
    "--type=merge",
    "--patch=" + json.dumps({"metadata": {"annotations": {_ANNOTATION: "normal"}}}),
)
_SYNC_SECONDS = 180.0
# how long parts of Argo CD may find each other not yet there, all starting at once on two processors
_ERROR_SECONDS = 20.0
_ATTEMPTS = 5


@dataclass(frozen=True)
class Delivered:
    """How far Argo CD is, as it says itself.

    Attributes:
        sync: Synced, OutOfSync or Unknown; empty before it has looked for the first time.
        health: of all that it delivers: Healthy, Progressing, Degraded, Missing, …
        revision: the commit that it compared with last; a branch's name if it could not be resolved.
        namespace: where it delivers to.
        looks: it was asked to look, and has not yet.
        step: what its running sync says of itself; empty if none runs.
        errors: why it cannot compare or sync, a line each.
        differing: objects that are not as committed, a line each.
        failed: what the sync of this revision failed on, a line each; it may be tried again.
        gave_up: it has failed and is not tried again, or has failed five times.
    """

    sync: str
    health: str
    revision: str
    namespace: str
    looks: bool = False
    step: str = ""
    errors: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    gave_up: bool = False

    @property
    def well(self) -> bool:
        """Whether all that is committed runs."""
        return self.sync == "Synced" and self.health == "Healthy" and not self.errors and not self.failed

    @property
    def troubles(self) -> tuple[str, ...]:
        """All that is wrong, a line each."""
        return self.errors + self.failed

    def __str__(self) -> str:
        return f"{self.sync or 'not compared yet'}, {self.health or 'health unknown'}"


def look(cluster: Cluster) -> Delivered | None:
    """What the region's Application says; None if the region has no Argo CD.

    Raises:
        LabError: the region has an Argo CD and no Application, or cannot be asked.
    """
    answer = cluster.kubectl("get", "--raw", _PATH)
    if answer.returncode == 0:
        return read(json.loads(answer.stdout))
    where = f"{cluster.region.name}: Application {_NAMESPACE}/{_NAME}"
    if "could not find the requested resource" in answer.stderr:
        return None
    raise LabError(f"{where}: {answer.stderr.strip()}, so nothing says what is to run. `make up` makes it anew")


def read(application: Mapping[str, Any]) -> Delivered:
    """What an Application object says."""
    status: Mapping[str, Any] = application.get("status") or {}
    sync: Mapping[str, Any] = status.get("sync") or {}
    operation: Mapping[str, Any] = status.get("operationState") or {}
    revision = str(sync.get("revision", ""))
    phase, attempts = operation.get("phase"), int(operation.get("retryCount", 0))
    over = phase in ("Failed", "Error")
    # one that ran to its end and still counts as running is one that failed and is tried again
    fails = _tried(operation) == revision and (over or (phase == "Running" and "finishedAt" in operation))
    # what a failed sync leaves behind as a condition says less than the sync itself
    told = ("SyncError",) if fails else ()
    errors = [
        item for item in status.get("conditions") or [] if item["type"].endswith("Error") and item["type"] not in told
    ]
    return Delivered(
        sync=str(sync.get("status", "")),
        health=str((status.get("health") or {}).get("status", "")),
        revision=revision,
        namespace=str(application["spec"]["destination"]["namespace"]),
        looks=_ANNOTATION in (application["metadata"].get("annotations") or {}),
        step=str(operation.get("message", "")) if phase == "Running" else "",
        errors=tuple(f"{item['type']}: {item['message']}" for item in errors),
        differing=tuple(
            _difference(item) for item in status.get("resources") or [] if item.get("status") == "OutOfSync"
        ),
        failed=_failures(operation) if fails else (),
        gave_up=fails and (over or attempts >= _ATTEMPTS),
    )


def _difference(resource: Mapping[str, Any]) -> str:
    how = "is in no file of the commit" if resource.get("requiresPruning") else "is not as committed"
    return f"{resource['kind']}/{resource['name']} {how}"


def _tried(operation: Mapping[str, Any]) -> str:
    """The commit that a sync is of; an attempt that is not the first is of whatever was the newest then."""
    asked: Mapping[str, Any] = (operation.get("operation") or {}).get("sync") or {}
    return str((operation.get("syncResult") or asked).get("revision", ""))


def _failures(operation: Mapping[str, Any]) -> tuple[str, ...]:
    resources = (operation.get("syncResult") or {}).get("resources") or []
    wrong = [item for item in resources if item.get("status") == "SyncFailed" or item.get("hookPhase") == "Failed"]
    return (
        f"the sync failed: {operation.get('message', '')}",
        *(f"  {item['kind']}/{item['name']}: {item.get('message', '')}" for item in wrong),
    )


def await_synced(cluster: Cluster, commit: str, report: Report) -> None:
    """Ask Argo CD of a region to look, and wait until all of a commit runs there.

    Args:
        cluster: the region.
        commit: forty hexadecimal digits, the newest of the branch that the region follows.
        report: is told each thing that is waited for.

    Raises:
        LabError: Argo CD says that it cannot, or it is not done within three minutes.
        InterruptedError: the cluster's `stopped` was set.
    """
    ask(cluster)
    waiting = _Wait(cluster, commit, report)
    asking = retry(
        retry=retry_if_result(lambda over: not over), stop=stop_after_delay(_SYNC_SECONDS), wait=wait_fixed(0.3)
    )
    try:
        asking(waiting.is_over)()
    except RetryError:
        raise LabError(
            f"{cluster.region.name}: Argo CD does not run all of {commit[:7]} after {_SYNC_SECONDS:.0f} s: {waiting.said}. "
            f"See what is not well with: make status"
        ) from None


def ask(cluster: Cluster) -> None:
    """Ask Argo CD of a region to look at once, as a webhook would.

    Raises:
        LabError: there is no Application, or the region cannot be asked.
    """
    asked = cluster.kubectl(*REFRESH)
    if asked.returncode != 0:
        raise LabError(
            f"{cluster.region.name}: Argo CD cannot be asked to look at what was pushed, so nothing syncs it: {asked.stderr.strip()}"
        )


class _Wait:
    """The wait for one commit in one region, look by look."""

    def __init__(self, cluster: Cluster, commit: str, report: Report) -> None:
        self._cluster = cluster
        self._commit = commit
        self._report = report
        self._wrong_since: float | None = None
        self.said = ""

    def is_over(self) -> bool:
        """Look once.

        Raises:
            LabError: it cannot become well by itself.
            InterruptedError: the cluster's `stopped` was set.
        """
        if self._cluster.stopped.is_set():
            raise InterruptedError
        now = look(self._cluster)
        if now is None:
            raise LabError(f"{self._cluster.region.name}: there is no Argo CD, so nothing syncs {self._commit[:7]}")
        self._say(self._describe(now))
        if now.looks:
            return False
        self._refuse(now)
        return now.well and now.revision == self._commit and not now.step

    def _refuse(self, now: Delivered) -> None:
        """Give up on what does not mend itself; what may is looked at anew, for parts of Argo CD start at their own pace."""
        lasts = self._lasts(bool(now.errors))
        if now.gave_up or lasts:
            raise LabError(
                f"{self._cluster.region.name}: Argo CD cannot bring {self._commit[:7]} to run; what ran before it, runs on. It says:\n"
                + "\n".join(f"  {line}" for line in now.troubles)
                + "\nMend that in a stack file or deploy/, commit, then: git push lab. If nothing there is wrong, let it be tried anew by "
                "another commit: git commit --allow-empty -m 'Sync again', then: git push lab"
            )
        if now.errors:
            ask(self._cluster)

    def _lasts(self, wrong: bool) -> bool:
        if not wrong:
            self._wrong_since = None
            return False
        if self._wrong_since is None:
            self._wrong_since = time.monotonic()
        return time.monotonic() - self._wrong_since > _ERROR_SECONDS

    def _describe(self, now: Delivered) -> str:
        if now.errors:
            return f"Argo CD: {'; '.join(now.errors)}"
        if now.revision != self._commit:
            return f"Argo CD has not compared {self._commit[:7]} yet"
        waits_for = now.step or (
            "" if now.well else ", ".join((*now.differing, *_unready(self._cluster, now.namespace)))
        )
        return f"Argo CD: {now} at {now.revision[:7]}" + f"; {waits_for}" * bool(waits_for)

    def _say(self, line: str) -> None:
        if line != self.said:
            self._report(line)
        self.said = line


def _unready(cluster: Cluster, namespace: str) -> list[str]:
    """Deployments that have not all their pods yet, for people: Argo CD keeps what it knows of each object to itself."""
    answer = cluster.kubectl("get", "deployments.apps", f"--namespace={namespace}", "--output=json")
    deployments = json.loads(answer.stdout)["items"] if answer.returncode == 0 else []
    counts = {
        item["metadata"]["name"]: (int(item["status"].get("availableReplicas", 0)), int(item["spec"]["replicas"]))
        for item in deployments
    }
    return [
        f"Deployment/{name}: {ready} of {wanted} pods" for name, (ready, wanted) in counts.items() if ready < wanted
    ]
