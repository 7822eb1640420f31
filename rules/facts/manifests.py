"""Kubernetes objects as plain data, read as what the rules look at. Pure, and never an exception.

They come from the files of an overlay or from Pulumi's graph; what cannot be read is told with its path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rules.facts.shapes import (
    BudgetShape,
    DeploymentShape,
    DestinationRuleShape,
    Header,
    OutlierDetectionShape,
    RouteDestination,
    ServiceShape,
    VirtualServiceShape,
)
from rules.facts.values import NOT_OF_TYPE, path, shown
from rules.facts.workloads import (
    Budget,
    Deployment,
    Destination,
    DestinationRule,
    Object,
    ObjectId,
    OutlierDetection,
    Service,
    ServicePort,
    Subset,
    Unreadable,
    VirtualService,
    Workloads,
)

PERCENT = 100
_KUSTOMIZE = "kustomize.config.k8s.io/"
_SIDECAR = re.compile(r"istio-(proxy|init|validation)")


def read(objects: Iterable[Mapping[str, object]]) -> Workloads:
    """What these objects are to the rules.

    Args:
        objects: Objects as their YAML has them. Numbers may be floats, as Pulumi sends them. A kustomization is no object of a
            cluster and passed over.

    Returns:
        The objects that can be read; the others are in `unreadable`, one entry for each fault.
    """
    ids: set[ObjectId] = set()
    read_ones: list[Object] = []
    unreadable: list[Unreadable] = []
    for position, found in enumerate(objects, 1):
        if _is_kustomization(found):
            continue
        try:
            header = Header.model_validate(found)
        except ValidationError as error:
            unreadable += _faults(_called(found, position), _kind(found), error)
            continue
        identity = ObjectId(header.kind, header.metadata.namespace, header.metadata.name)
        if identity in ids:
            unreadable.append(
                Unreadable(str(identity), "is there twice, and only one of the two would stay", identity.kind)
            )
            continue
        ids.add(identity)
        try:
            if one := _read_object(header.api_version, identity, found):
                read_ones.append(one)
        except ValidationError as error:
            unreadable += _faults(str(identity), identity.kind, error)
        except _OtherGroupError as error:
            unreadable.append(Unreadable(f"{identity}: apiVersion", str(error), identity.kind))
    return Workloads.of(read_ones, ids, unreadable)


class _OtherGroupError(ValueError):
    """An object of a kind that the rules look into is of another group."""


def _read_object(api_version: str, identity: ObjectId, found: object) -> Object | None:
    """Read an object of the kinds that the rules look into; of another kind, nothing."""
    if identity.kind not in _KINDS:
        return None
    group, read_kind = _KINDS[identity.kind]
    if api_version.rpartition("/")[0] != group:
        raise _OtherGroupError(f"{shown(api_version)} is no version of {group or 'the core API'}")
    return read_kind(identity, found)


def _deployment(identity: ObjectId, found: object) -> Deployment:
    shape = DeploymentShape.model_validate(found)
    spec, pod = shape.spec, shape.spec.template.spec
    return Deployment(
        identity,
        replicas=spec.replicas,
        selector=spec.selector.match_labels,
        labels=spec.template.metadata.labels,
        images=tuple(
            each.image for each in (*pod.init_containers, *pod.containers) if not _SIDECAR.fullmatch(each.name)
        ),
        ports={port.name: port.container_port for each in pod.containers for port in each.ports if port.name},
        unavailable="100%" if spec.strategy.type == "Recreate" else spec.strategy.rolling_update.max_unavailable,
        wave=shape.wave,
    )


def _service(identity: ObjectId, found: object) -> Service:
    shape = ServiceShape.model_validate(found)
    ports = tuple(
        ServicePort(
            each.name, each.port, each.port if each.target_port is None else each.target_port, each.app_protocol
        )
        for each in shape.spec.ports
    )
    return Service(identity, shape.spec.selector, ports, shape.wave)


def _destination_rule(identity: ObjectId, found: object) -> DestinationRule:
    shape = DestinationRuleShape.model_validate(found)
    subsets = tuple(Subset(each.name, each.labels) for each in shape.spec.subsets)
    detection = shape.spec.traffic_policy.outlier_detection
    return DestinationRule(
        identity, shape.spec.host, subsets, None if detection is None else _detection(detection), shape.wave
    )


def _detection(shape: OutlierDetectionShape) -> OutlierDetection:
    return OutlierDetection(
        consecutive_5xx_errors=shape.consecutive_5xx_errors,
        consecutive_gateway_errors=shape.consecutive_gateway_errors,
        interval_seconds=shape.interval,
        base_ejection_seconds=shape.base_ejection_time,
        max_ejection_percent=shape.max_ejection_percent,
        min_health_percent=shape.min_health_percent,
    )


def _virtual_service(identity: ObjectId, found: object) -> VirtualService:
    shape = VirtualServiceShape.model_validate(found)
    routes = tuple(tuple(_destinations(each.route)) for each in shape.spec.http)
    return VirtualService(identity, tuple(shape.spec.hosts), routes, shape.wave)


def _destinations(route: Sequence[RouteDestination]) -> Iterator[Destination]:
    for each in route:
        # Istio takes a weight that is left out for 0, and gives a single destination all requests whatever its weight
        weight = PERCENT if len(route) == 1 and each.weight == 0 else each.weight
        port = each.destination.port.number if each.destination.port else None
        yield Destination(each.destination.host, each.destination.subset, port, weight)


def _budget(identity: ObjectId, found: object) -> Budget:
    shape = BudgetShape.model_validate(found)
    spec = shape.spec
    return Budget(identity, spec.selector.match_labels, spec.min_available, spec.max_unavailable, shape.wave)


_KINDS: Mapping[str, tuple[str, Callable[[ObjectId, object], Object]]] = {
    "Deployment": ("apps", _deployment),
    "Service": ("", _service),
    "DestinationRule": ("networking.istio.io", _destination_rule),
    "VirtualService": ("networking.istio.io", _virtual_service),
    "PodDisruptionBudget": ("policy", _budget),
}
"""The group of each kind that the rules look into, and how it is read."""


def _is_kustomization(found: object) -> bool:
    return isinstance(found, Mapping) and str(found.get("apiVersion")).startswith(_KUSTOMIZE)


def _called(found: object, position: int) -> str:
    """Name an object of which not even the head can be read."""
    kind = _kind(found)
    return f"object {position}, a {kind}" if kind else f"object {position}"


def _kind(found: object) -> str | None:
    kind = found.get("kind") if isinstance(found, Mapping) else None
    return kind if isinstance(kind, str) and kind else None


def _faults(called: str, kind: str | None, error: ValidationError) -> Iterator[Unreadable]:
    for each in error.errors(include_url=False):
        where = path(each["loc"]).removeprefix(".")
        yield Unreadable(f"{called}: {where}" if where else called, _explained(each), kind)


def _explained(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["input"] is None:
        return "is empty"
    if error["type"] == "missing":
        return "is missing"
    what = NOT_OF_TYPE.get(error["type"])
    return f"{shown(error['input'])} {what}" if what else f"{shown(error['input'])}: {error['msg']}"
