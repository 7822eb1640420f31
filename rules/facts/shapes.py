"""The shapes of the Kubernetes objects that the rules look into: what of them decides where a request goes.

A key without a value counts as left out, as it does in Kubernetes. Other keys are passed over, but for those that would
change what the rules say of an object: such an object is refused rather than judged by half.
"""

from __future__ import annotations

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
from rules.facts.workloads import SYNC_WAVE


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


class DeploymentShape(ObjectShape):
    """A Deployment of `apps`."""

    spec: _DeploymentSpec


class _ServicePort(Shape):
    name: str = ""
    port: Port
    target_port: TargetPort | None = None
    app_protocol: str | None = None


class _ServiceSpec(Shape):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    selector: dict[str, str] = Field({})
    ports: list[_ServicePort] = Field([])


class ServiceShape(ObjectShape):
    """A Service of the core API."""

    spec: _ServiceSpec


class OutlierDetectionShape(Shape):
    """When a client proxy ejects a pod."""

    consecutive_5xx_errors: Count | None = Field(default=None, alias="consecutive5xxErrors")
    consecutive_gateway_errors: Count | None = None
    interval: Seconds | None = None
    base_ejection_time: Seconds | None = None
    max_ejection_percent: Percent | None = None
    min_health_percent: Percent | None = None
    consecutive_errors: Unjudged = None
    split_external_local_origin_errors: Unjudged = None
    outlier_detection_http_error_codes: Unjudged = None


class _TrafficPolicy(Shape):
    outlier_detection: OutlierDetectionShape | None = None
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


class DestinationRuleShape(ObjectShape):
    """A DestinationRule of `networking.istio.io`."""

    spec: _DestinationRuleSpec


class _PortSelector(Shape):
    number: Port


class _Destination(Shape):
    host: str
    subset: str | None = None
    port: _PortSelector | None = None


class RouteDestination(Shape):
    """Where a route sends a share of its requests."""

    destination: _Destination
    weight: RouteWeight = 0


class _HttpRoute(Shape):
    route: list[RouteDestination] = Field([])
    match: Unjudged = None
    delegate: Unjudged = None
    fault: Unjudged = None


class _VirtualServiceSpec(Shape):
    hosts: list[str] = Field([])
    http: list[_HttpRoute] = Field([])
    tcp: Unjudged = None
    tls: Unjudged = None
    gateways: Unjudged = None
    export_to: Unjudged = None


class VirtualServiceShape(ObjectShape):
    """A VirtualService of `networking.istio.io`."""

    spec: _VirtualServiceSpec


class _BudgetSpec(Shape):
    selector: LabelSelector
    min_available: CountOrPercent | None = None
    max_unavailable: CountOrPercent | None = None

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if self.min_available is not None and self.max_unavailable is not None:
            raise ValueError("minAvailable and maxUnavailable are both set, and one budget has one limit")
        return self


class BudgetShape(ObjectShape):
    """A PodDisruptionBudget of `policy`."""

    spec: _BudgetSpec
