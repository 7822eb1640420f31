"""The shapes of the Kubernetes objects that the rules look into: what of them decides where a request goes.

A key without a value counts as left out, as it does in Kubernetes. Other keys are passed over, but for those that would
change what the rules say of an object: such an object is refused rather than judged by half.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Literal, Self

from pydantic import AliasPath, Field, model_validator

from rules.facts.values import (
    Count,
    CountOrPercent,
    Percent,
    Port,
    RouteWeight,
    Seconds,
    Shape,
    TargetPort,
    Unjudged,
    Wave,
)
from rules.facts.workloads import (
    SYNC_WAVE,
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
    VirtualService,
)

PERCENT = 100
_SIDECAR = re.compile(r"istio-(proxy|init|validation)")


class Metadata(Shape):
    """What names an object; `annotations` are those of the object."""

    name: str = Field(min_length=1)
    namespace: str = ""
    annotations: dict[str, str] = Field({})


class Header(Shape):
    """What every object has."""

    api_version: str
    kind: str
    metadata: Metadata


class _Placed(Shape):
    """Metadata of an object that lives in a namespace."""

    namespace: str = Field(min_length=1)


class ObjectShape(Shape):
    """An object that the rules look into, and in which wave Argo CD syncs it; `Header` looks at its annotations."""

    metadata: _Placed
    wave: Wave = Field(default=0, validation_alias=AliasPath("metadata", "annotations", SYNC_WAVE))

    @abstractmethod
    def fact(self, identity: ObjectId) -> Object:
        """What it is to the rules."""


class LabelSelector(Shape):
    """Which pods are meant."""

    match_labels: dict[str, str] = Field({})
    match_expressions: Unjudged = None


class _ContainerPort(Shape):
    name: str = ""
    container_port: Port


class _Container(Shape):
    name: str
    image: str
    ports: list[_ContainerPort] = Field([])


class _Pod(Shape):
    containers: list[_Container] = Field(min_length=1)
    init_containers: list[_Container] = Field([])


class _PodMetadata(Shape):
    labels: dict[str, str] = Field({})


class _Template(Shape):
    metadata: _PodMetadata = _PodMetadata()
    spec: _Pod


class _RollingUpdate(Shape):
    max_unavailable: CountOrPercent = "25%"


class _Strategy(Shape):
    type: Literal["RollingUpdate", "Recreate"] = "RollingUpdate"
    rolling_update: _RollingUpdate = _RollingUpdate()


class _DeploymentSpec(Shape):
    replicas: Count = 1
    selector: LabelSelector
    strategy: _Strategy = _Strategy()
    template: _Template


class _Deployment(ObjectShape):
    """A Deployment of `apps`."""

    spec: _DeploymentSpec

    def fact(self, identity: ObjectId) -> Deployment:
        spec, pod = self.spec, self.spec.template.spec
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
            wave=self.wave,
        )


class _ServicePort(Shape):
    name: str = ""
    port: Port
    target_port: TargetPort | None = None
    app_protocol: str | None = None


class _ServiceSpec(Shape):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    selector: dict[str, str] = Field({})
    ports: list[_ServicePort] = Field([])


class _Service(ObjectShape):
    """A Service of the core API."""

    spec: _ServiceSpec

    def fact(self, identity: ObjectId) -> Service:
        ports = tuple(
            ServicePort(
                each.name, each.port, each.port if each.target_port is None else each.target_port, each.app_protocol
            )
            for each in self.spec.ports
        )
        return Service(identity, self.spec.selector, ports, self.wave)


class _OutlierDetection(Shape):
    consecutive_5xx_errors: Count | None = Field(default=None, alias="consecutive5xxErrors")
    consecutive_gateway_errors: Count | None = None
    interval_seconds: Seconds | None = Field(default=None, alias="interval")
    base_ejection_seconds: Seconds | None = Field(default=None, alias="baseEjectionTime")
    max_ejection_percent: Percent | None = None
    min_health_percent: Percent | None = None
    consecutive_errors: Unjudged = None
    split_external_local_origin_errors: Unjudged = None
    outlier_detection_http_error_codes: Unjudged = None


class _TrafficPolicy(Shape):
    outlier_detection: _OutlierDetection | None = None
    port_level_settings: Unjudged = None


class _SubsetTrafficPolicy(Shape):
    outlier_detection: Unjudged = None
    port_level_settings: Unjudged = None


class _Subset(Shape):
    name: str = Field(min_length=1)
    labels: dict[str, str] = Field({})
    traffic_policy: _SubsetTrafficPolicy | None = None


class _DestinationRuleSpec(Shape):
    host: str
    subsets: list[_Subset] = Field([])
    traffic_policy: _TrafficPolicy = _TrafficPolicy()
    export_to: Unjudged = None
    workload_selector: Unjudged = None


class _DestinationRule(ObjectShape):
    """A DestinationRule of `networking.istio.io`."""

    spec: _DestinationRuleSpec

    def fact(self, identity: ObjectId) -> DestinationRule:
        subsets = tuple(Subset(each.name, each.labels) for each in self.spec.subsets)
        read = self.spec.traffic_policy.outlier_detection
        detection = None
        if read is not None:
            detection = OutlierDetection(**{each.name: getattr(read, each.name) for each in fields(OutlierDetection)})
        return DestinationRule(identity, self.spec.host, subsets, detection, self.wave)


class _PortSelector(Shape):
    number: Port


class _Destination(Shape):
    host: str
    subset: str | None = None
    port: _PortSelector | None = None


class _RouteDestination(Shape):
    destination: _Destination
    weight: RouteWeight = 0


class _HttpRoute(Shape):
    route: list[_RouteDestination] = Field([])
    match: Unjudged = None
    delegate: Unjudged = None
    fault: Unjudged = None

    def destinations(self) -> Iterator[Destination]:
        for each in self.route:
            # Istio takes a weight that is left out for 0, and gives a single destination all requests whatever its weight
            weight = PERCENT if len(self.route) == 1 and each.weight == 0 else each.weight
            port = each.destination.port.number if each.destination.port else None
            yield Destination(each.destination.host, each.destination.subset, port, weight)


class _VirtualServiceSpec(Shape):
    hosts: list[str] = Field([])
    http: list[_HttpRoute] = Field([])
    tcp: Unjudged = None
    tls: Unjudged = None
    gateways: Unjudged = None
    export_to: Unjudged = None


class _VirtualService(ObjectShape):
    """A VirtualService of `networking.istio.io`."""

    spec: _VirtualServiceSpec

    def fact(self, identity: ObjectId) -> VirtualService:
        routes = tuple(tuple(each.destinations()) for each in self.spec.http)
        return VirtualService(identity, tuple(self.spec.hosts), routes, self.wave)


class _BudgetSpec(Shape):
    selector: LabelSelector
    min_available: CountOrPercent | None = None
    max_unavailable: CountOrPercent | None = None

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if self.min_available is not None and self.max_unavailable is not None:
            raise ValueError("minAvailable and maxUnavailable are both set, and one budget has one limit")
        return self


class _Budget(ObjectShape):
    """A PodDisruptionBudget of `policy`."""

    spec: _BudgetSpec

    def fact(self, identity: ObjectId) -> Budget:
        spec = self.spec
        return Budget(identity, spec.selector.match_labels, spec.min_available, spec.max_unavailable, self.wave)


KINDS: Mapping[str, tuple[str, type[ObjectShape]]] = {
    "Deployment": ("apps", _Deployment),
    "Service": ("", _Service),
    "DestinationRule": ("networking.istio.io", _DestinationRule),
    "VirtualService": ("networking.istio.io", _VirtualService),
    "PodDisruptionBudget": ("policy", _Budget),
}
"""The group of each kind that the rules look into, and its shape."""
