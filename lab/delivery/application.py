"""What Argo CD of a region says of its Applications: asked to look, waited for, and read for people."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

from lab.machine.waiting import comes_true
from lab.region.kubectl import Kubectl
from lab.report import LabError, Report

_NAMESPACE = "argocd"
_PATH = f"/apis/argoproj.io/v1alpha1/namespaces/{_NAMESPACE}/applications"
_ANNOTATION = "argocd.argoproj.io/refresh"
# Argo CD compares with the branch's newest commit, then takes the annotation away, together with what it found
REFRESH = (
    f"--namespace={_NAMESPACE}",
    "annotate",
    "applications.argoproj.io",
    "--all",
    "--overwrite",
    f"{_ANNOTATION}=normal",
)
_SYNC_SECONDS = 180.0
_LOOK_SECONDS = 10.0
# how long parts of Argo CD may find each other not yet there, all starting at once on two processors
_ERROR_SECONDS = 20.0
_ATTEMPTS = 5


@dataclass(frozen=True)
class Delivered:
    """How far Argo CD is with one Application, as it says itself.

    Attributes:
        name: the Application's, which is the service's.
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

    name: str
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


def look(kubectl: Kubectl) -> list[Delivered]:
    """What the region's Applications say; none if the region has no Argo CD.

    Raises:
        LabError: the region has an Argo CD and no Application, or cannot be asked.
    """
    answer = kubectl("get", "--raw", _PATH)
    if "could not find the requested resource" in answer.stderr:
        return []
    items = json.loads(answer.stdout)["items"] if answer.returncode == 0 else []
    if not items:
        why = answer.stderr.strip() or "there is none"
        raise LabError(
            f"{kubectl.region}: Applications in {_NAMESPACE}: {why}, so nothing says what is to run. `make up` makes them anew"
        )
    return [read(item) for item in items]


def look_anew(kubectl: Kubectl) -> list[Delivered]:
    """As `look`, after Argo CD was asked to compare once more; waits ten seconds for that at most.

    What it says without being asked may be wrong: where the API server or a webhook refused a commit, the comparison fails, and the next
    one, which any change of an object that it delivers brings about, finds by what it remembers of the commit before that all is Synced.

    Raises:
        LabError: the region has an Argo CD and no Application, or cannot be asked.
    """
    found = look(kubectl)
    if found:
        ask(kubectl)

        def has_looked() -> bool:
            nonlocal found
            found = look(kubectl)
            return not any(each.looks for each in found)

        comes_true(has_looked, _LOOK_SECONDS, 0.2)
    return found


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
        name=str(application["metadata"]["name"]),
        sync=str(sync.get("status", "")),
        health=str((status.get("health") or {}).get("status", "")),
        revision=revision,
        namespace=str(application["spec"]["destination"]["namespace"]),
        looks=_ANNOTATION in (application["metadata"].get("annotations") or {}),
        step=str(operation.get("message", "")) if phase == "Running" else "",
        errors=tuple(f"{item['type']}: {item['message']}" for item in errors),
        differing=tuple(
            f"{item['kind']}/{item['name']} "
            + ("is in no file of the commit" if item.get("requiresPruning") else "is not as committed")
            for item in status.get("resources") or []
            if item.get("status") == "OutOfSync"
        ),
        failed=_failures(operation) if fails else (),
        gave_up=fails and (over or attempts >= _ATTEMPTS),
    )


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


def await_synced(kubectl: Kubectl, commit: str, report: Report, stopped: Event | None = None) -> None:
    """Ask Argo CD of a region to look, and wait until all of a commit runs there.

    Args:
        kubectl: of the region.
        commit: forty hexadecimal digits, the newest of the branch that the region follows.
        report: is told each thing that is waited for.
        stopped: ends the wait.

    Raises:
        LabError: Argo CD says that it cannot, or it is not done within three minutes.
        InterruptedError: `stopped` was set.
    """
    said: list[str] = []
    wrong_since = math.inf

    def is_over() -> bool:
        nonlocal said, wrong_since
        found = look(kubectl)
        if not found:
            raise LabError(f"{kubectl.region}: there is no Argo CD, so nothing syncs {commit[:7]}")
        behind = [each for each in found if not (each.well and each.revision == commit and not each.step)]
        before, said = said, [_describe(each, commit, kubectl) for each in behind or found]
        for text in said:
            if text not in before:
                report(text)
        if any(each.looks for each in found):
            return False
        # what does not mend itself ends the wait; what may is looked at anew, for parts of Argo CD start at their own pace
        wrong = [each for each in found if each.errors]
        wrong_since = min(wrong_since, time.monotonic()) if wrong else math.inf
        late = wrong if time.monotonic() - wrong_since > _ERROR_SECONDS else []
        for each in (*late, *(each for each in found if each.gave_up)):
            raise LabError(_refusal(each, commit, kubectl.region))
        if wrong:
            ask(kubectl)
        return not behind

    ask(kubectl)
    if not comes_true(is_over, _SYNC_SECONDS, 0.3, stopped):
        raise LabError(
            f"{kubectl.region}: Argo CD does not run all of {commit[:7]} after {_SYNC_SECONDS:.0f} s: {'; '.join(said)}. "
            f"See what is not well with: make status"
        )


def ask(kubectl: Kubectl) -> None:
    """Ask Argo CD of a region to look at once, as a webhook would.

    Raises:
        LabError: there is no Application, or the region cannot be asked.
    """
    asked = kubectl(*REFRESH)
    if asked.returncode != 0:
        raise LabError(
            f"{kubectl.region}: Argo CD cannot be asked to look at what was pushed, so nothing syncs it: {asked.stderr.strip()}"
        )


def _refusal(now: Delivered, commit: str, region: str) -> str:
    return (
        f"{region}: Argo CD cannot bring {commit[:7]} of {now.name} to run; what ran before it, runs on. It says:\n"
        + "\n".join(f"  {line}" for line in now.troubles)
        + "\nMend that in a stack file or deploy/, commit, then: git push lab. If nothing there is wrong, let it be tried anew by "
        "another commit: git commit --allow-empty -m 'Sync again', then: git push lab"
    )


def _describe(now: Delivered, commit: str, kubectl: Kubectl) -> str:
    if now.errors:
        return f"Argo CD, {now.name}: {'; '.join(now.errors)}"
    if now.revision != commit:
        return f"Argo CD has not compared {commit[:7]} of {now.name} yet"
    waits_for = now.step or ("" if now.well else ", ".join((*now.differing, *_unready(kubectl, now.namespace))))
    return f"Argo CD, {now.name}: {now} at {now.revision[:7]}" + f"; {waits_for}" * bool(waits_for)


def _unready(kubectl: Kubectl, namespace: str) -> list[str]:
    """Deployments that have not all their pods yet, for people: Argo CD keeps what it knows of each object to itself."""
    answer = kubectl("get", "deployments.apps", f"--namespace={namespace}", "--output=json")
    deployments = json.loads(answer.stdout)["items"] if answer.returncode == 0 else []
    counts = {
        item["metadata"]["name"]: (int(item["status"].get("availableReplicas", 0)), int(item["spec"]["replicas"]))
        for item in deployments
    }
    return [
        f"Deployment/{name}: {ready} of {wanted} pods" for name, (ready, wanted) in counts.items() if ready < wanted
    ]
