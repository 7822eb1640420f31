"""What Argo CD says of a region: its Application, read into plain values.

The words are Argo CD's own (https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml), so that what is
shown can be looked up there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubernetes import client

from rollout.access import RegionAccess
from rollout.cluster.client import REQUEST_TIMEOUT, api_client, asking
from rollout.problem import RolloutError

SYNCED = "Synced"
OUT_OF_SYNC = "OutOfSync"
HEALTHY = "Healthy"

_GROUP, _VERSION, _PLURAL = "argoproj.io", "v1alpha1", "applications"
_REFRESH = "argocd.argoproj.io/refresh"
_SKIP = "argocd.argoproj.io/skip-reconcile"
# so does Argo CD read the annotation (strconv.ParseBool in canProcessApp of its controller/appcontroller.go)
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_UNSAID = "Unknown"
# A change of weight is there after a second; a new image takes as long as its pods.
_SETTLES_WITHIN_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 0.2
_FAILED_PHASES = ("Failed", "Error")


@dataclass(frozen=True)
class SyncPolicy:
    """What Argo CD does for an Application by itself.

    Attributes:
        automated: Whether it syncs a new commit.
        prune: Whether it then deletes what the commit no longer has.
        self_heal: Whether it reverts what others change.
    """

    automated: bool = False
    prune: bool = False
    self_heal: bool = False


@dataclass(frozen=True)
class Application:
    """A region's Application as it is now.

    Attributes:
        name: `namespace/name`.
        repository: The repository's address.
        path: The overlay's directory in it.
        target_revision: The branch, tag or commit that is followed.
        sync: Synced, OutOfSync, or Unknown while Argo CD could not compare.
        health: Healthy, Progressing, Degraded, Suspended, Missing or Unknown.
        compared_revision: The commit that the cluster was last compared with; "" if it never was.
        history: The commits of the successful syncs, the last one last.
        tried_revision: The commit that the last sync applies; "" if there was none, or it did not get that far.
        applied_revision: The commit that the last successful sync applied, a sync of single objects too, which the history leaves out;
            "" where none is known.
        is_syncing: Whether a sync goes on in which nothing failed yet.
        conditions: Its conditions, as `ComparisonError: …`; a type ends with Error or Warning.
        failures: The last sync if something failed in it, and what failed.
        has_failed: Whether the last sync ended so, and is not tried again.
        asked: Whether it was asked to look for a newer commit, and has not yet.
        skipped: Whether an annotation tells Argo CD to leave it alone.
        leaving: Whether it is being deleted.
        policy: What Argo CD does by itself.
        project: The AppProject that it is of.
        destinations: The cluster that it is applied to, by its address and by its name, as far as they are given.
        namespace: The namespace that it is applied to.
    """

    name: str
    repository: str
    path: str
    target_revision: str
    sync: str
    health: str
    compared_revision: str
    history: tuple[str, ...]
    tried_revision: str
    is_syncing: bool
    conditions: tuple[str, ...]
    failures: tuple[str, ...]
    has_failed: bool = False
    asked: bool = False
    skipped: bool = False
    leaving: bool = False
    policy: SyncPolicy = field(default_factory=SyncPolicy)
    project: str = ""
    destinations: tuple[str, ...] = ()
    namespace: str = ""
    applied_revision: str = ""

    @property
    def errors(self) -> tuple[str, ...]:
        """Its conditions that keep it from applying anything."""
        return tuple(each for each in self.conditions if "Error: " in each)

    @property
    def refusals(self) -> tuple[str, ...]:
        """What keeps the commit that it was last compared with from being applied."""
        of_this = self.sync != SYNCED and self.tried_revision == self.compared_revision
        return *self.errors, *(self.failures if of_this else ())

    @property
    def complaints(self) -> tuple[str, ...]:
        """All that Argo CD says is wrong."""
        return *self.conditions, *self.failures

    @property
    def has_given_up(self) -> bool:
        """Whether Argo CD does nothing more about the commit that it last looked at, which it could not apply."""
        return self.has_failed and not self.is_moving

    @property
    def is_moving(self) -> bool:
        """Whether another commit may be there in a moment: Argo CD is about to look or to sync, or a sync goes on without failures."""
        to_sync = self.sync == OUT_OF_SYNC and self.tried_revision != self.compared_revision
        return self.asked or self.is_syncing or to_sync

    @property
    def synced_revision(self) -> str | None:
        """The commit that the cluster has last been brought to; None if it never was.

        While it is Synced this is the one it was compared with, which may be newer than the last sync: a commit that
        changes nothing in the overlay is not synced.
        """
        if self.sync == SYNCED and self.compared_revision:
            return self.compared_revision
        return self.history[-1] if self.history else None

    @property
    def is_well(self) -> bool:
        """Whether it is Synced and Healthy."""
        return self.sync == SYNCED and self.health == HEALTHY


def synced_commit(application: Application) -> str:
    """The commit that the cluster has last been brought to.

    Raises:
        RolloutError: it never was, and what Argo CD says to that.
    """
    if application.synced_revision is None:
        said = "; ".join(application.complaints) or f"sync {application.sync}, health {application.health}"
        raise RolloutError.of(
            f"Application {application.name} was never synced: {said}",
            "a share is judged against the weights that Argo CD last synced",
            f"see that {application.target_revision} of {application.repository} can be read and has "
            f"{application.path} (in the lab: git push lab)",
        )
    return application.synced_revision


def settled_application(region: RegionAccess, name: str) -> Application:
    """As `read_application`, once no other commit is on its way: whoever pushed a moment ago means that one.

    Takes at most a minute; what still moves then is returned as it is.
    """
    ends = time.monotonic() + _SETTLES_WITHIN_SECONDS
    while (application := read_application(region, name)).is_moving and time.monotonic() < ends:
        time.sleep(_LOOK_EVERY_SECONDS)
    return application


def read_application(region: RegionAccess, name: str) -> Application:
    """Asks the region's cluster for an Application, given as `namespace/name`. Takes at most 20 s.

    Raises:
        RolloutError: no such context, the cluster does not answer or refuses, or it has no such Application.
    """
    namespace, own_name = name.split("/")
    document: Any
    api = client.CustomObjectsApi(api_client(region))
    with asking(region, f"read Application {name}", f"-n {namespace} get applications.argoproj.io {own_name}"):
        try:
            document = api.get_namespaced_custom_object(
                _GROUP, _VERSION, namespace, _PLURAL, own_name, _request_timeout=REQUEST_TIMEOUT
            )
        except client.ApiException as error:
            if error.status != 404:
                raise
            raise RolloutError.of(
                f"{region.name}: there is no Application {name} in the cluster of context {region.context}",
                "it says which commit the region was last synced to, and so which weights hold there",
                f"the stack's Applications bring it up: pulumi up -s {region.stack} (in the lab: make up)",
            ) from error
    return parse_application(document)


def ask_to_look(region: RegionAccess, name: str) -> None:
    """Asks Argo CD to look for a newer commit at once, as a webhook would; it answers when it has time.

    Raises:
        RolloutError: no such context, or the cluster does not answer or refuses.
    """
    namespace, own_name = name.split("/")
    api = client.CustomObjectsApi(api_client(region))
    asked = {"metadata": {"annotations": {_REFRESH: "normal"}}}
    with asking(
        region,
        f"refresh Application {name}",
        f"-n {namespace} annotate applications.argoproj.io {own_name} {_REFRESH}=normal",
    ):
        api.patch_namespaced_custom_object(
            _GROUP, _VERSION, namespace, _PLURAL, own_name, asked, _request_timeout=REQUEST_TIMEOUT
        )


def parse_application(document: Mapping[str, Any]) -> Application:
    """An Application from the API server's answer; what Argo CD has not yet said is "Unknown" or empty."""
    metadata, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    # an Application of several sources has no `source`
    source = spec.get("source") or {}
    destination, annotations = spec.get("destination") or {}, metadata.get("annotations") or {}
    sync = status.get("sync") or {}
    operation = status.get("operationState") or {}
    result = operation.get("syncResult") or {}
    tried, phase = result.get("revision", ""), operation.get("phase")
    history = tuple(entry["revision"] for entry in status.get("history") or [] if entry.get("revision"))
    # also while it is tried again
    unapplied = [one for one in result.get("resources") or [] if one.get("status") == "SyncFailed"]
    failures: list[str] = []
    if phase in _FAILED_PHASES or unapplied:
        at = f" of {tried}" if tried else ""
        failures.append(f"sync{at} {phase}: {operation.get('message', '')}")
        failures += [f"{one['kind']} {one['namespace']}/{one['name']}: {one.get('message', '')}" for one in unapplied]
    return Application(
        name=f"{metadata['namespace']}/{metadata['name']}",
        repository=source.get("repoURL", ""),
        path=source.get("path", ""),
        target_revision=source.get("targetRevision", "HEAD"),
        sync=sync.get("status") or _UNSAID,
        health=(status.get("health") or {}).get("status") or _UNSAID,
        compared_revision=sync.get("revision", ""),
        history=history,
        tried_revision=tried,
        is_syncing=phase == "Running" and not unapplied,
        conditions=tuple(f"{one['type']}: {one['message']}" for one in status.get("conditions") or []),
        failures=tuple(failures),
        has_failed=phase in _FAILED_PHASES,
        asked=_REFRESH in annotations,
        skipped=annotations.get(_SKIP) in _TRUE,
        leaving="deletionTimestamp" in metadata,
        policy=_policy((spec.get("syncPolicy") or {}).get("automated")),
        project=spec.get("project", ""),
        destinations=tuple(filter(None, (destination.get("server"), destination.get("name")))),
        namespace=destination.get("namespace", ""),
        applied_revision=tried if tried and phase == "Succeeded" else next(reversed(history), ""),
    )


def _policy(automated: Mapping[str, Any] | None) -> SyncPolicy:
    # `automated: {}` syncs, and so does one that does not say `enabled`
    if automated is None or automated.get("enabled") is False:
        return SyncPolicy()
    return SyncPolicy(True, bool(automated.get("prune")), bool(automated.get("selfHeal")))
