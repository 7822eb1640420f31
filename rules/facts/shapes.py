"""The shapes of the Kubernetes objects that the rules look into: what of them decides where a request goes.

A key without a value counts as left out, as it does in Kubernetes. Other keys are passed over, but for those that would
change what the rules say of an object: such an object is refused rather than judged by half.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from rules.facts.workloads import SYNC_WAVE

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION_PART = r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|us|µs|ns|s)"
_LARGEST_INT32 = 2**31 - 1
_LARGEST_PORT = 65535


def shown(value: object) -> str:
    """Write a value as a file has it, short enough for one line."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError):
        # YAML has keys that JSON has not, and lists that are in themselves
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _whole_number(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
        raise ValueError(f"{shown(value)} is not a whole number")
    if not low <= value <= high:
        raise ValueError(f"{int(value)} is not in {low}..{high}")
    return int(value)


def _whole(low: int, high: int) -> BeforeValidator:
    """Take 90.0 for 90: on the way to a provider of Pulumi every number is a float."""
    return BeforeValidator(lambda value: _whole_number(value, low, high))


def _whole_or_text(pattern: str, what: str, low: int, high: int) -> BeforeValidator:
    def check(value: object) -> int | str:
        if not isinstance(value, str):
            return _whole_number(value, low, high)
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{shown(value)} is neither a whole number nor {what}")
        return value

    return BeforeValidator(check)


def _seconds(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(f"({_DURATION_PART})+", value):
        raise ValueError(f"{shown(value)} is not a duration such as 5s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_DURATION_PART, value))


def _wave(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"[+-]?[0-9]{1,9}", value):
        raise ValueError(f"{shown(value)} is not a whole number in quotes, which a wave is")
    return int(value)


def _unjudged(value: object) -> object:
    raise ValueError(f"{shown(value)} is not looked into by any rule, and changes what they look at")


Weight = Annotated[int, _whole(-_LARGEST_INT32, _LARGEST_INT32)]
Count = Annotated[int, _whole(0, _LARGEST_INT32)]
Percent = Annotated[int, _whole(0, 100)]
Port = Annotated[int, _whole(1, _LARGEST_PORT)]
TargetPort = Annotated[int | str, _whole_or_text(r"[a-z0-9-]*[a-z][a-z0-9-]*", "a port's name", 1, _LARGEST_PORT)]
CountOrPercent = Annotated[int | str, _whole_or_text(r"[0-9]{1,4}%", "a percent such as 25%", 0, _LARGEST_INT32)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Wave = Annotated[int, BeforeValidator(_wave)]
Unjudged = Annotated[None, BeforeValidator(_unjudged)]
"""Must be left out."""


class Shape(BaseModel):
    """A part of an object."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_alias=True, validate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        return {key: value for key, value in values.items() if value is not None}


class Metadata(Shape):
    """What names an object; `annotations` are those of the object."""

    name: str = Field(min_length=1)
    namespace: str = ""
    annotations: dict[str, str] = {}


class Header(Shape):
    """What every object has."""

    api_version: str
    kind: str
    metadata: Metadata


class _Waved(Shape):
    sync_wave: Wave = Field(default=0, alias=SYNC_WAVE)


class _Placed(Shape):
    """Metadata of an object that lives in a namespace."""

    namespace: str = Field(min_length=1)
    annotations: _Waved = _Waved()


class Object(Shape):
    """An object that the rules look into."""

    metadata: _Placed

    @property
    def wave(self) -> int:
        """In which wave Argo CD syncs it."""
        return self.metadata.annotations.sync_wave


class LabelSelector(Shape):
    """Which pods are meant."""

    match_labels: dict[str, str] = {}
    match_expressions: Unjudged = None


class _ContainerPort(Shape):
    name: str = ""
    container_port: Port


class _Container(Shape):
    name: str
    image: str
    ports: list[_ContainerPort] = []


class _Pod(Shape):
    containers: list[_Container] = Field(min_length=1)
    init_containers: list[_Container] = []


class _PodMetadata(Shape):
    labels: dict[str, str] = {}


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


class DeploymentShape(Object):
    """A Deployment of `apps`."""

    spec: _DeploymentSpec


class _ServicePort(Shape):
    name: str = ""
    port: Port
    target_port: TargetPort | None = None
    app_protocol: str | None = None


class _ServiceSpec(Shape):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    selector: dict[str, str] = {}
    ports: list[_ServicePort] = []


class ServiceShape(Object):
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
    labels: dict[str, str] = {}
    traffic_policy: _SubsetTrafficPolicy | None = None


class _DestinationRuleSpec(Shape):
    host: str
    subsets: list[_Subset] = []
    traffic_policy: _TrafficPolicy = _TrafficPolicy()
    export_to: Unjudged = None
    workload_selector: Unjudged = None


class DestinationRuleShape(Object):
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
    weight: Weight = 0


class _HttpRoute(Shape):
    route: list[RouteDestination] = []
    match: Unjudged = None
    delegate: Unjudged = None
    fault: Unjudged = None


class _VirtualServiceSpec(Shape):
    hosts: list[str] = []
    http: list[_HttpRoute] = []
    tcp: Unjudged = None
    tls: Unjudged = None
    gateways: Unjudged = None
    export_to: Unjudged = None


class VirtualServiceShape(Object):
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


class BudgetShape(Object):
    """A PodDisruptionBudget of `policy`."""

    spec: _BudgetSpec
