"""When an object counts as ready: judgements on snapshots, and the loop that waits for one."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from lab.plugins.kubernetes.connection import Cluster, ProviderError, RejectedError, UnreachableError
from lab.plugins.kubernetes.decisions import Object, annotation, group_kind

DEFAULT_SECONDS: Final = 600.0
"""How long an object may take to become ready or to go, unless it says otherwise: the official provider's default."""
SKIP: Final = "pulumi.com/skipAwait"
TIMEOUT: Final = "pulumi.com/timeoutSeconds"
WAIT_FOR: Final = "pulumi.com/waitFor"
_SETTLING_SECONDS: Final = 10.0  # a Service without any endpoint for so long gets its pods later: the official number
_EAGER_SECONDS: Final = 15.0
_POLL_SECONDS: Final = (0.25, 1.0)  # during the eager seconds, and after them


@dataclasses.dataclass(frozen=True)
class Operation:
    """How an operation is to be done: `seconds` is its limit (0: the default), `stopped` ends its waits."""

    stopped: threading.Event
    report: Callable[[str], None] = lambda _: None
    preview: bool = False
    seconds: float = 0
    ignore: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a snapshot says: `done`, or not yet because of `reasons`; `hopeless` if waiting longer cannot help."""

    done: bool
    reasons: tuple[str, ...] = ()
    hopeless: bool = False


class NotReadyError(ProviderError):
    """The object is there, and is not what was waited for; `live` is its last snapshot."""

    def __init__(self, message: str, live: Object, reasons: Iterable[str]) -> None:
        super().__init__(message)
        self.live, self.reasons = live, tuple(reasons)


def limit_seconds(operation: Operation, inputs: Object) -> float:
    """How long to wait: what the resource's options say, else its annotation, else the default.

    Raises:
        ProviderError: the annotation is no number above 0.
    """
    text = annotation(inputs, TIMEOUT)
    if operation.seconds or not text:
        return operation.seconds or DEFAULT_SECONDS
    if not text.isdigit() or not int(text):
        what = f"annotation {TIMEOUT}: {text!r} is no number above 0"
        raise ProviderError(f"{what}, so nobody knows how long to wait. Give whole seconds.")
    return float(text)


def look(cluster: Cluster, obj: Object, inputs: Object, waited_seconds: float, *, closely: bool = True) -> Verdict:
    """Whether the object is ready. Looking closely, or where it is hopeless, the pods of a workload say why it is not."""
    metadata, kind = obj["metadata"], group_kind(obj)
    of_service = f"kubernetes.io/service-name={metadata['name']}"
    slices = _listed(cluster, metadata, "EndpointSlice", of_service) if kind == "/Service" else []
    verdict = judge(obj, inputs, slices, waited_seconds)
    if verdict.done or not (closely or verdict.hopeless) or kind not in _JUDGES:
        return verdict
    selector = (obj.get("spec") or {}).get("selector")
    pods = _listed(cluster, metadata, "Pod", _selector_text(selector)) if selector else [obj] if kind == "/Pod" else []
    return dataclasses.replace(verdict, reasons=(*verdict.reasons, *pod_problems(pods)))


def judge(obj: Object, inputs: Object, slices: Iterable[Object], waited_seconds: float) -> Verdict:
    """Whether this snapshot is ready; `slices` are the EndpointSlices of a Service."""
    if annotation(inputs, SKIP) == "true":
        return Verdict(done=True)
    if wanted := conditions(inputs):
        unmet = tuple(f"{text} is not met" for text, holds in wanted if not holds(obj))
        return Verdict(not unmet, unmet)
    kind, status = group_kind(obj), obj.get("status") or {}
    if kind == "/Service":
        return _service(obj["spec"], status, slices, waited_seconds)
    if kind not in _JUDGES:
        return Verdict(done=True)
    if kind in _OBSERVED and status.get("observedGeneration") != obj["metadata"].get("generation"):
        return Verdict(done=False, reasons=("its controller has not seen this change yet",))
    return _JUDGES[kind](obj.get("spec") or {}, status)


def pods_of_namespace(cluster: Cluster, namespace: str) -> list[Object]:
    """All pods there."""
    return _listed(cluster, {"namespace": namespace}, "Pod", "")


def pod_problems(pods: Iterable[Object]) -> list[str]:
    """Why pods are not ready, a line each: `pod echo-v1-abc: ImagePullBackOff: Back-off pulling image "…"`."""
    lines = []
    for pod in pods:
        status = pod.get("status") or {}
        if pod["metadata"].get("deletionTimestamp") or _condition(status, "Ready").get("status") == "True":
            continue
        containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        states = [container.get("state") or {} for container in containers]
        found = [state.get("waiting") or state.get("terminated") or {} for state in states]
        usual = (None, "Completed", "PodInitializing", "ContainerCreating")
        problems = [f"{each['reason']}: {each.get('message', '')}" for each in found if each.get("reason") not in usual]
        scheduled = _condition(status, "PodScheduled")
        if scheduled.get("status") == "False":
            problems.append(f"{scheduled.get('reason')}: {scheduled.get('message')}")
        problems = problems or [_condition(status, "Ready").get("message") or f"phase {status.get('phase', 'unknown')}"]
        lines += [f"pod {pod['metadata']['name']}: {problem}" for problem in problems]
    return lines


def until_ready(cluster: Cluster, live: Object, inputs: Object, operation: Operation) -> Object:
    """Waits until the object is ready; returns its last snapshot.

    Raises:
        NotReadyError: it failed, was deleted, did not become ready in time, or it was stopped.
    """
    path, seconds, before = cluster.url(live), limit_seconds(operation, inputs), live
    started, waited = time.monotonic(), 0.0
    while True:
        try:
            live = cluster.request("GET", path) if waited else live
            verdict = look(cluster, live, inputs, waited, closely=waited > min(_EAGER_SECONDS, seconds))
        except (RejectedError, UnreachableError) as problem:  # the API server may be starting again
            gone = isinstance(problem, RejectedError) and problem.status == 404
            verdict = Verdict(done=False, reasons=(str(problem),), hopeless=gone)
        if verdict.done:
            return live
        if verdict.hopeless and not is_old_failure(before, live):
            raise NotReadyError("it failed", live, verdict.reasons)
        _pause("was not ready", live, verdict.reasons, operation, waited=waited, seconds=seconds)
        waited = time.monotonic() - started


def is_old_failure(before: Object, now: Object) -> bool:
    """Whether a Deployment missed its deadline before this operation: its cause may be mended, and pods be on their way."""
    old, new = (_condition(obj.get("status") or {}, "Progressing") for obj in (before, now))
    return old == new and new.get("reason") == "ProgressDeadlineExceeded"


def until_gone(cluster: Cluster, path: str, uid: str, seconds: float, operation: Operation) -> None:
    """Waits until the object of this `uid` is no longer at `path`.

    Raises:
        NotReadyError: it was still there in the end, or it was stopped.
    """
    started = time.monotonic()
    while True:
        try:
            live = cluster.request("GET", path)
        except RejectedError as no:
            if no.status == 404:
                return
            raise
        if uid and live["metadata"].get("uid") != uid:
            return
        blocking = [f"finalizer {name}" for name in live["metadata"].get("finalizers") or []]
        conditions = (live.get("status") or {}).get("conditions") or []
        stuck = [c["message"] for c in conditions if c.get("status") == "True" and c.get("message")]
        reasons = [*blocking, *stuck] or ["it is being deleted"]
        _pause("was not gone", live, reasons, operation, waited=time.monotonic() - started, seconds=seconds)


def _pause(
    what: str, live: Object, reasons: Sequence[str], operation: Operation, *, waited: float, seconds: float
) -> None:
    if waited >= seconds:
        raise NotReadyError(f"it {what} after {seconds:g} s", live, reasons)
    operation.report("; ".join(reasons[:2]))
    if operation.stopped.wait(min(_POLL_SECONDS[waited > _EAGER_SECONDS], seconds - waited)):
        raise NotReadyError(f"it {what} when the operation was cancelled", live, reasons)


def _deployment(spec: Object, status: Object) -> Verdict:
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    available = min(updated, status.get("availableReplicas", 0))
    bad = {"Available": "False", "Progressing": "False", "ReplicaFailure": "True"}
    problems = [c for c in status.get("conditions") or [] if bad.get(c["type"]) == c["status"]]
    done = wanted <= updated == available and status.get("replicas", 0) <= updated
    reasons = [f"{c['reason']}: {c.get('message', '')}" for c in problems]
    hopeless = not done and any(c["reason"] == "ProgressDeadlineExceeded" for c in problems)
    return Verdict(done, (f"{available} of {wanted} pods of this revision are available", *reasons), hopeless)


def _stateful_set(spec: Object, status: Object) -> Verdict:
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    rolled = _on_delete(spec) or status.get("currentRevision") == status.get("updateRevision")
    return Verdict(rolled and status.get("replicas", 0) == wanted == ready, (f"{ready} of {wanted} pods are ready",))


def _daemon_set(spec: Object, status: Object) -> Verdict:
    wanted, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    rolled = _on_delete(spec) or status.get("updatedNumberScheduled", 0) >= wanted
    return Verdict(rolled and available >= wanted, (f"{available} of {wanted} pods are available",))


def _on_delete(spec: Object) -> bool:
    return bool((spec.get("updateStrategy") or {}).get("type") == "OnDelete")


def _pod(_spec: Object, status: Object) -> Verdict:
    done = status.get("phase") == "Succeeded" or _condition(status, "Ready").get("status") == "True"
    return Verdict(done, hopeless=status.get("phase") == "Failed")


def _job(_spec: Object, status: Object) -> Verdict:
    failed = _condition(status, "Failed")
    if failed.get("status") == "True":
        return Verdict(done=False, reasons=(f"{failed.get('reason')}: {failed.get('message')}",), hopeless=True)
    return Verdict(_condition(status, "Complete").get("status") == "True", ("it has not completed",))


def _custom_resource_definition(_spec: Object, status: Object) -> Verdict:
    names = _condition(status, "NamesAccepted")
    refused = names.get("status") == "False"
    reason = f"{names.get('reason')}: {names.get('message')}" if refused else "it is not established"
    return Verdict(_condition(status, "Established").get("status") == "True", (reason,), refused)


_JUDGES: Final[dict[str, Callable[[Object, Object], Verdict]]] = {
    "apps/Deployment": _deployment,
    "apps/StatefulSet": _stateful_set,
    "apps/DaemonSet": _daemon_set,
    "/Pod": _pod,
    "batch/Job": _job,
    "apiextensions.k8s.io/CustomResourceDefinition": _custom_resource_definition,
}
# Kinds whose status names the generation that it is of.
_OBSERVED: Final = ("apps/Deployment", "apps/StatefulSet", "apps/DaemonSet")
SKIPPED_ON_DELETE: Final = ("/Namespace", "/ReplicationController", "/Pod", "batch/Job", *_OBSERVED)
"""Kinds whose deletion is not waited for either if `pulumi.com/skipAwait` says so: the official provider's."""


def _service(spec: Object, status: Object, slices: Iterable[Object], waited_seconds: float) -> Verdict:
    if spec.get("type") == "LoadBalancer" and not (status.get("loadBalancer") or {}).get("ingress"):
        return Verdict(done=False, reasons=("it was not given an address: does this cluster have load balancers?",))
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None" or not spec.get("selector"):
        return Verdict(done=True)
    states = [endpoint.get("conditions") or {} for part in slices for endpoint in part.get("endpoints") or []]
    ready = [state.get("ready", True) for state in states if not state.get("terminating")]
    if not ready:
        reason = "it has no pods: they are not there yet, or none carries the labels of spec.selector"
        return Verdict(waited_seconds >= _SETTLING_SECONDS, (reason,))
    return Verdict(all(ready), (f"{sum(ready)} of {len(ready)} endpoints are ready",))


def conditions(inputs: Object) -> list[tuple[str, Callable[[Object], bool]]]:
    """What `pulumi.com/waitFor` asks for: each expression, and whether a snapshot meets it.

    Raises:
        ProviderError: an expression is not understood.
    """
    text = annotation(inputs, WAIT_FOR)
    expressions = json.loads(text) if text.startswith("[") else [text] if text else []
    return [(expression, _expression(expression)) for expression in expressions]


def _expression(text: str) -> Callable[[Object], bool]:
    if match := re.fullmatch(r"condition=([^=]+)(?:=(.+))?", text):
        kind, wanted = match[1], match[2] or "True"
        return lambda obj: str(_condition(obj.get("status") or {}, kind).get("status")).lower() == wanted.lower()
    if match := re.fullmatch(r"jsonpath=\{?((?:\.[\w-]+|\[\d+\])+)\}?(?:=(.+))?", text):
        path, value = re.findall(r"\.([\w-]+)|\[(\d+)\]", match[1]), match[2]
        return lambda obj: (found := _at(obj, path)) is not None and value in (None, str(found), json.dumps(found))
    raise ProviderError(
        f"annotation {WAIT_FOR}: {text!r} is not understood, so nobody knows what to wait for. Write condition=TYPE[=STATUS] or "
        "jsonpath={.a.b[0]}[=VALUE]: the stand-in provider knows no filters."
    )


def _at(value: Any, path: list[tuple[str, str]]) -> Any:
    try:
        for name, index in path:
            value = value[name] if name else value[int(index)]
    except (KeyError, IndexError, TypeError):
        return None
    return value


def _condition(status: Object, kind: str) -> Object:
    return next((condition for condition in status.get("conditions") or [] if condition.get("type") == kind), {})


def _listed(cluster: Cluster, metadata: Object, kind: str, selector: str) -> list[Object]:
    there = {"apiVersion": "v1" if kind == "Pod" else "discovery.k8s.io/v1", "kind": kind, "metadata": metadata}
    return cluster.request("GET", cluster.url(there, named=False), {"labelSelector": selector}).get("items") or []


def _selector_text(selector: Object) -> str:
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or []:
        key, values = term["key"], ",".join(term.get("values") or [])
        written = {
            "Exists": key,
            "DoesNotExist": f"!{key}",
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
        }
        terms.append(written[term["operator"]])
    return ",".join(terms)
