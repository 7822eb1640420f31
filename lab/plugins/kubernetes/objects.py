"""The one path that every kind and custom resource takes: check, diff, create, read, update, delete."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Iterable
from typing import Final

from lab.plugins.kubernetes import awaiting, decisions
from lab.plugins.kubernetes.awaiting import NotReadyError, Operation
from lab.plugins.kubernetes.connection import Cluster, KindMissingError, ProviderError, RejectedError
from lab.plugins.kubernetes.decisions import Difference, Object, annotation, identity
from lab.plugins.kubernetes.values import has_unknown, plain, with_secrets_of

# A kind or namespace may be on its way: as long as the official provider waits.
_RETRY_SECONDS: Final = (0.5, 1, 2, 4, 8, 16)
_CRD: Final = "apiextensions.k8s.io/CustomResourceDefinition"
_PROPAGATION: Final = {"orphan": "Orphan", "background": "Background"}
_UNSUPPORTED: Final = ("pulumi.com/replaceUnready", "pulumi.com/patchFieldManager")
# Kinds that the official provider waits for, and this one cannot.
_CORE_NEVER_AWAITED: Final = ("PersistentVolume", "PersistentVolumeClaim", "ReplicationController", "ResourceQuota")
_NEVER_AWAITED: Final = ("networking.k8s.io/Ingress", *(f"/{kind}" for kind in _CORE_NEVER_AWAITED))


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the provider's configuration says about objects."""

    patch_force: bool = False
    upsert: bool = False
    mutable_kinds: tuple[str, ...] = ()


class PartialError(ProviderError):
    """The resource was made or changed, and is not what it should be; `state` (and `inputs`) is what is known of it."""

    def __init__(
        self, message: str, name: str, state: Object, reasons: Iterable[str], inputs: Object | None = None
    ) -> None:
        super().__init__(message)
        self.identity, self.state, self.reasons, self.inputs = name, state, tuple(reasons), inputs


@dataclasses.dataclass(frozen=True)
class Objects:
    """Kubernetes objects as Pulumi resources. `cluster` connects when it is first called.

    All methods raise ProviderError; those that wait raise PartialError if the object is there and not ready.
    """

    cluster: Callable[[], Cluster]
    settings: Settings

    def check(self, token: str, news: Object, olds: Object, proposed_name: str) -> Object:
        """The inputs as they will be kept: normalised, named, with a namespace."""
        inputs = decisions.normalised(plain(news))
        _refuse(token, inputs)
        inputs = decisions.named(inputs, plain(olds), proposed_name)
        metadata = inputs["metadata"]
        if isinstance(metadata, dict) and not metadata.get("namespace") and self._namespaced(inputs):
            inputs["metadata"] = {**metadata, "namespace": self.cluster().target.namespace}
        checked: Object = with_secrets_of(news, inputs)
        return checked

    def diff(self, state: Object, news: Object, ignore: Iterable[str]) -> Difference:
        """The difference between what the state says is live, cut to the old inputs, and the new inputs."""
        (old_inputs, live), inputs = _split(plain(state)), decisions.normalised(plain(news))
        old = decisions.pruned(live, decisions.normalised(old_inputs))
        fixed = {"apiVersion": live["apiVersion"], "kind": live["kind"]}
        old = {**old, **fixed, "metadata": {**(old.get("metadata") or {}), "name": live["metadata"]["name"]}}
        if not isinstance(inputs["metadata"], dict):  # not known yet
            inputs["metadata"] = old["metadata"]
        default = "default" if self._namespaced(inputs) else None
        for side in (old, inputs):
            namespace = default and (side["metadata"].get("namespace") or default)
            side["metadata"] = {**side["metadata"], "namespace": namespace}
        return decisions.difference(old, inputs, ignore, self.settings.mutable_kinds)

    def create(self, news: Object, operation: Operation) -> tuple[str, Object]:
        """Makes the object and waits for it; a preview is a dry run, or the inputs where there can be none.

        Returns its id (empty in a preview) and state.
        """
        inputs, manager = plain(news), decisions.unique_name(decisions.CREATOR)
        if operation.preview and (has_unknown(inputs) or not self._served(inputs)):
            return "", news
        try:
            live = self._made(inputs, manager, operation)
        except RejectedError as no:
            undoable = no.status in (403, 409) or no.kind == "namespaces" or "does not support dry run" in str(no)
            if operation.preview and undoable:
                return "", news
            # whoever may take over what is there is in the way of somebody who set the same fields
            raise _explained(no, "update" if self.settings.upsert else "create", inputs) from no
        if operation.preview:
            live.pop("status", None)
        state = self._awaited(live, news, (inputs["apiVersion"], manager), operation)
        return "" if operation.preview else identity(live), state

    def update(self, state: Object, news: Object, operation: Operation) -> Object:
        """Changes the object by server-side apply and waits for it; a preview is a dry run. Returns the new state."""
        inputs = decisions.normalised(plain(news))
        if operation.preview and (has_unknown(inputs) or not self._served(inputs)):
            return news
        try:
            live = self.cluster().request("GET", self.cluster().url(_split(plain(state))[1]))
            wanted = decisions.with_live_values(inputs, live, operation.ignore)
            live = self._applied(wanted, live, state["__fieldManager"], operation)
        except RejectedError as no:
            if operation.preview and no.status == 403:
                return news
            raise _explained(no, "update", inputs) from no
        return self._awaited(live, news, (state["__initialApiVersion"], state["__fieldManager"]), operation)

    def read(self, token: str, name: str, state: Object, inputs: Object) -> tuple[Object, Object] | None:
        """State and inputs as they are in the cluster now; None if the object is gone. Without inputs it is an import."""
        known = decisions.normalised(plain(inputs) or _split(plain(state))[0])
        imported = not known.get("kind")
        version, kind = token.split(":")[1:] if imported else (known["apiVersion"], known["kind"])
        wanted = _reference(version.removeprefix("core/"), kind, name)
        try:
            live = self.cluster().request("GET", self.cluster().url(wanted))
        except KindMissingError:
            return None
        except RejectedError as no:
            if no.status == 404:
                return None
            raise _explained(no, "read", wanted) from no
        now = _importable(live) if imported else decisions.pruned(decisions.underscored(live), known)
        manager = state.get("__fieldManager") or decisions.unique_name(decisions.CREATOR)
        result = _state(now, live, inputs, (state.get("__initialApiVersion") or wanted["apiVersion"], manager))
        marked: Object = with_secrets_of(inputs, now)
        if not imported and not (verdict := awaiting.look(self.cluster(), live, known, math.inf)).done:
            raise PartialError(f"{kind} {name} is there, and is not ready", name, result, verdict.reasons, marked)
        return result, marked

    def delete(self, name: str, state: Object, operation: Operation) -> None:
        """Deletes the object in the foreground and waits until it is gone; one that is gone already is fine."""
        inputs, live = _split(plain(state))
        policy = _PROPAGATION.get(annotation(inputs, "pulumi.com/deletionPropagationPolicy").lower(), "Foreground")
        try:
            url = self.cluster().url(_reference(live["apiVersion"], live["kind"], name))
            self.cluster().request("DELETE", url, body={"propagationPolicy": policy})
        except KindMissingError:
            return
        except RejectedError as no:
            if no.status == 404:
                return
            raise _explained(no, "delete", live) from no
        if not (
            annotation(inputs, awaiting.SKIP) == "true" and decisions.group_kind(live) in awaiting.SKIPPED_ON_DELETE
        ):
            seconds, uid = awaiting.limit_seconds(operation, inputs), live["metadata"].get("uid", "")
            awaiting.until_gone(self.cluster(), url, uid, seconds, operation)

    def _made(self, inputs: Object, manager: str, operation: Operation) -> Object:
        query = {"fieldManager": decisions.CREATOR, **({"dryRun": "All"} if operation.preview else {})}
        for seconds in (*_RETRY_SECONDS, 0):
            try:
                if self.settings.upsert:
                    return self._applied(inputs, self._there(inputs), manager, operation)
                url = self.cluster().url(inputs, named=False)
                return self.cluster().request("POST", url, query, decisions.dashed(inputs))
            except (KindMissingError, RejectedError) as problem:
                missing = isinstance(problem, KindMissingError) or problem.status == 404
                if operation.preview or not missing or not seconds or operation.stopped.wait(seconds):
                    raise
                operation.report(f"trying again: {problem}")
        raise AssertionError("the last round either returns or raises")

    def _there(self, inputs: Object) -> Object:
        try:
            return self.cluster().request("GET", self.cluster().url(inputs))
        except RejectedError as no:
            if no.status == 404:
                return {}
            raise

    def _applied(self, inputs: Object, live: Object, manager: str, operation: Operation) -> Object:
        url, body = self.cluster().url(live or inputs), decisions.dashed(inputs)
        query = {"fieldManager": manager, **({"dryRun": "All"} if operation.preview else {})}
        if live and decisions.group_kind(inputs) == _CRD:
            body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
            return self.cluster().request("PUT", url, query, body)
        force = self.settings.patch_force or annotation(inputs, "pulumi.com/patchForce") == "true"
        if live and operation.preview:
            force = force or decisions.taken_over(live, manager) is not None
        elif live:
            self._take_over(url, live, manager)
        forcing = {**query, "force": str(force).lower()}
        return self.cluster().request("PATCH", url, forcing, body, "application/apply-patch+yaml")

    def _take_over(self, url: str, live: Object, manager: str) -> None:
        while (fields := decisions.taken_over(live, manager)) is not None:
            paths = {"managedFields": fields, "resourceVersion": live["metadata"]["resourceVersion"]}
            patch = [{"op": "replace", "path": f"/metadata/{path}", "value": value} for path, value in paths.items()]
            try:
                self.cluster().request("PATCH", url, {}, patch, "application/json-patch+json")
            except RejectedError as no:
                if no.status != 409:
                    raise
                live = self.cluster().request("GET", url)  # a controller wrote in between: look again
            else:
                return

    def _awaited(self, live: Object, news: Object, origin: tuple[str, str], operation: Operation) -> Object:
        inputs = plain(news)
        if operation.preview:
            return _state(inputs, live, news, origin)
        try:
            return _state(inputs, awaiting.until_ready(self.cluster(), live, inputs, operation), news, origin)
        except NotReadyError as problem:
            what, state = f"{live['kind']} {identity(live)}", _state(inputs, problem.live, news, origin)
            message = (
                f"{what} is in the cluster, but {problem}. What depends on it was left alone. Mend it, and run again."
            )
            raise PartialError(message, identity(live), state, problem.reasons) from problem

    def _served(self, inputs: Object) -> bool:
        try:
            self.cluster().namespaced(inputs)
        except KindMissingError:
            return False
        return True

    def _namespaced(self, inputs: Object) -> bool:
        # A kind that is not served yet is most likely a custom resource whose definition is created in the same run.
        return not self._served(inputs) or self.cluster().namespaced(inputs)


def _refuse(token: str, inputs: Object) -> None:
    kind, metadata, refusal = token.rpartition(":")[2], inputs.get("metadata"), ""
    skips, unsupported = annotation(inputs, awaiting.SKIP) == "true", [n for n in _UNSUPPORTED if annotation(inputs, n)]
    if kind == f"{inputs.get('kind')}Patch":
        refusal = "the stand-in provider knows no Patch resources. Use the official provider, or leave it out."
    elif kind.endswith("List") and "items" in inputs:
        refusal = "a list is no resource of its own, so it cannot be created. Register its items one by one."
    elif isinstance(metadata, dict) and metadata.get("generateName") and not metadata.get("name"):
        refusal = "metadata.generateName: server-side apply needs the name. Give metadata.name, or neither to get one."
    elif unsupported:
        refusal = f"the stand-in provider does not do {unsupported[0]}. Use the official provider, or leave it out."
    elif decisions.group_kind(inputs) in _NEVER_AWAITED and not skips:
        refusal = (
            "the stand-in provider cannot tell when this kind is ready, so what depends on it would start too early. "
            f"Set the annotation {awaiting.SKIP}: 'true', or use the official provider."
        )
    if refusal:
        raise ProviderError(f"{token}: {refusal}")
    awaiting.limit_seconds(Operation(threading.Event()), inputs)
    awaiting.conditions(inputs)


_ADVICE: Final = {
    ("create", 409): (
        ". Somebody else made it, or a run that was interrupted, so it was left alone. Adopt it with `pulumi import`, take it "
        "over by PULUMI_K8S_UPSERT_EXISTING_OBJECTS=true, or delete it."
    ),
    ("update", 409): (
        ". Somebody else set these fields, so they were left alone. Take them over with the annotation pulumi.com/patchForce: "
        "'true', or leave them to their owner with ignoreChanges."
    ),
    (
        "update",
        404,
    ): ". It was deleted behind Pulumi's back, so there is nothing to update. Run `pulumi refresh`, and again.",
}
_IMMUTABLE: Final = ". Kubernetes cannot change it in place. Undo the change, or name the field in replaceOnChanges."


def _explained(no: RejectedError, verb: str, obj: Object) -> RejectedError:
    advice = _IMMUTABLE if no.status == 422 and "immutable" in str(no) else _ADVICE.get((verb, no.status), "")
    return RejectedError(no.status, no.reason, f"{verb} {obj['kind']} {identity(obj)}: {no}{advice}", no.kind)


def _state(inputs: Object, live: Object, marks: Object, origin: tuple[str, str]) -> Object:
    state: Object = with_secrets_of(marks, decisions.underscored(live))
    origins = {"__initialApiVersion": origin[0], "__fieldManager": origin[1]}
    return {**state, "__inputs": with_secrets_of(marks, inputs), **origins}


def _split(state: Object) -> tuple[Object, Object]:
    return state.get("__inputs") or {}, {key: value for key, value in state.items() if not key.startswith("__")}


def _reference(version: str, kind: str, name: str) -> Object:
    namespace, _, own = name.rpartition("/")
    return {"apiVersion": version, "kind": kind, "metadata": {"name": own, "namespace": namespace}}


def _importable(live: Object) -> Object:
    inputs = decisions.normalised({key: value for key, value in live.items() if key != "status"})
    for name in ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"):
        inputs["metadata"].get("annotations", {}).pop(name, None)
    return inputs
