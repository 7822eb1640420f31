"""A pod as the API server gives it: whether it is ready, what it waits for, its sidecar and its Istio."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

PROXY = "istio-proxy"
"""The name of the container that is a sidecar or a gateway."""

FEW = 50
"""So many Envoys are all asked, eight pages at a time. Of more, some are."""

ISTIO_NAMESPACE = "istio-system"
"""Where istiod runs."""

# A pre-release's name has a dot (`1.31.0-rc.0`); what else follows is a variant of the same build (`1.31.1-distroless`).
_ISTIO_TAG = re.compile(r"v?(\d+\.\d+(?:\.\d+)?(?:-[a-z]+\.\w+)?)(?:-[\w.-]*)?")


def is_leaving(pod: Mapping[str, Any]) -> bool:
    """Whether it is being deleted."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def ready_condition(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its condition Ready; empty where the API server does not tell yet."""
    conditions = pod.get("status", {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == "Ready"), {})


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether it is ready and not being deleted."""
    return ready_condition(pod).get("status") == "True" and not is_leaving(pod)


def of_app(documents: Iterable[Mapping[str, Any]], namespace: str, app: str) -> list[Mapping[str, Any]]:
    """Those objects of a namespace that have the label `app`."""
    return [
        each
        for each in documents
        if each["metadata"]["namespace"] == namespace and (each["metadata"].get("labels") or {}).get("app") == app
    ]


def container(pod: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """A container of a pod; None where it has none of that name."""
    # a native sidecar is an init container
    containers = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
    return next((each for each in containers if each["name"] == name), None)


def istio_version(of: Mapping[str, Any] | None) -> str:
    """The version of a container's Istio by its image's tag; "" where that tells none: `latest`, a word, a digest alone."""
    image = str((of or {}).get("image", ""))
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    found = _ISTIO_TAG.fullmatch(tag)
    return found[1] if found else ""


def waiting_reasons(pod: Mapping[str, Any]) -> dict[str, str]:
    """What its containers wait for, such as CrashLoopBackOff, by container; only those that wait."""
    status = pod.get("status", {})
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    states = {one["name"]: one.get("state") or {} for one in containers}
    return {name: state["waiting"].get("reason", "") for name, state in states.items() if "waiting" in state}
