"""The shapes of the Kubernetes objects that are delivered: each field that may be there, and what a change of it does. Closed.

A field is one of three: judged, because a rule looks at it; harmless, and then its shape says why; or not here, and then it is
refused with its path. So a field that is new in an API is refused until somebody has thought about it. A key without a value counts as
left out, as it does in Kubernetes.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from rules.facts.values import Count, CountOrPercent, Percent, Port, RouteWeight, Seconds, Shape, TargetPort, Wave
from rules.facts.workloads import (
    ALL,
    MESH,
    SYNC_WAVE,
    Budget,
    ConnectionPool,
    Container,
    Deployment,
    Destination,
    DestinationRule,
    HeaderRoute,
    Object,
    ObjectId,
    OutlierDetection,
    Probe,
    Service,
    ServiceAccount,
    ServicePort,
    Subset,
    VirtualService,
)

SYNC_OPTIONS = "argocd.argoproj.io/sync-options"
_TAKEN_OVER = "pulumi.com/patchForce"
_SIDECAR = re.compile(r"istio-(proxy|init|validation)")
_WITH_A_MEANING = re.compile(r"(.*\.)?(istio\.io|k8s\.io|kubernetes\.io|argoproj\.io)/.*")
_WITHOUT = re.compile(r"app\.kubernetes\.io/.*|kubectl\.kubernetes\.io/restartedAt")


def _label(key: str) -> str:
    if _WITH_A_MEANING.fullmatch(key) and not _WITHOUT.fullmatch(key):
        raise ValueError("is judged by no rule, and Kubernetes, Istio or Argo CD may go by it")
    return key


def _pods_annotation(key: str) -> str:
    if not re.fullmatch(r"(kubectl\.kubernetes\.io/restartedAt|prometheus\.io/.*)", key):
        raise ValueError("is judged by no rule, and may change what is injected into the pods")
    return key


def harmless(why: str) -> Any:
    """A field that may have any value: no request depends on it."""
    return Field(default=None, description=why, json_schema_extra={"harmless": True})


Labels = dict[Annotated[str, AfterValidator(_label)], str]


class Header(Shape):
    """What every object has."""

    class Metadata(Shape):
        """What names an object."""

        name: str = Field(min_length=1)
        namespace: str = ""

    api_version: str
    kind: str
    metadata: Metadata


class Closed(Shape):
    """A part of an object: what is not among its fields is refused."""

    model_config = ConfigDict(extra="forbid")


class _Annotations(Closed):
    wave: Wave = Field(default=0, alias=SYNC_WAVE)
    sync_options: Literal["Prune=false"] | None = Field(default=None, alias=SYNC_OPTIONS)
    taken_over: Literal["true"] | None = Field(default=None, alias=_TAKEN_OVER)


class _Placed(Closed):
    """Metadata of an object that lives in a namespace."""

    name: str = Field(min_length=1)
    namespace: str = Field(min_length=1)
    labels: Labels = Field(default={}, description="names for people: what selects pods looks at the pods' own")
    annotations: _Annotations = Field(default=_Annotations(), description="how Argo CD syncs it, from the next sync on")


class ObjectShape(Closed):
    """An object that is delivered."""

    api_version: str = Field(description="by which version of its API it is applied")
    kind: str
    metadata: _Placed

    @property
    def wave(self) -> int:
        """In which wave Argo CD syncs it."""
        return self.metadata.annotations.wave

    @property
    def kept(self) -> bool:
        """Whether Argo CD keeps it where a commit has lost it."""
        return self.metadata.annotations.sync_options is not None

    @abstractmethod
    def fact(self, identity: ObjectId) -> Object:
        """What it is to the rules."""


class LabelSelector(Closed):
    """Which pods are meant."""

    match_labels: dict[str, str] = Field({})


class _ContainerPort(Closed):
    name: str = ""
    container_port: Port
    protocol: Literal["TCP"] = "TCP"


class _HttpGet(Closed):
    path: str = "/"
    port: TargetPort
    scheme: Literal["HTTP"] = "HTTP"


class _Probe(Closed):
    http_get: _HttpGet
    period_seconds: Count = 10
    failure_threshold: Count = 3
    success_threshold: object = harmless("an update waits for it")
    initial_delay_seconds: object = harmless("an update waits for it")
    timeout_seconds: Count = 1

    def fact(self) -> Probe:
        return Probe(
            self.http_get.path, self.http_get.port, (self.period_seconds or 10) * (self.failure_threshold or 3)
        )


_RUNS_OTHERWISE = "an update replaces a pod only once its new one is ready"


class _Sleep(Closed):
    seconds: Count


class _PreStop(Closed):
    sleep: _Sleep


class _Lifecycle(Closed):
    pre_stop: _PreStop | None = None


class _Container(Closed):
    name: str
    image: str
    ports: list[_ContainerPort] = Field([])
    readiness_probe: _Probe | None = None
    liveness_probe: _Probe | None = None
    startup_probe: _Probe | None = None
    lifecycle: _Lifecycle = _Lifecycle()
    args: object = harmless(_RUNS_OTHERWISE)
    command: object = harmless(_RUNS_OTHERWISE)
    env: object = harmless(_RUNS_OTHERWISE)
    env_from: object = harmless(_RUNS_OTHERWISE)
    image_pull_policy: object = harmless(_RUNS_OTHERWISE)
    resources: object = harmless(_RUNS_OTHERWISE)
    security_context: object = harmless(_RUNS_OTHERWISE)
    volume_mounts: object = harmless(_RUNS_OTHERWISE)
    working_dir: object = harmless(_RUNS_OTHERWISE)

    def fact(self) -> Container:
        ports = {port.name: port.container_port for port in self.ports if port.name}
        return Container(
            self.name,
            ports,
            readiness=self.readiness_probe.fact() if self.readiness_probe else None,
            liveness=self.liveness_probe.fact() if self.liveness_probe else None,
            startup=self.startup_probe.fact() if self.startup_probe else None,
        )


class _Pod(Closed):
    containers: list[_Container] = Field(min_length=1)
    init_containers: list[_Container] = Field([])
    termination_grace_period_seconds: Count = 30
    affinity: object = harmless(_RUNS_OTHERWISE)
    automount_service_account_token: object = harmless(_RUNS_OTHERWISE)
    enable_service_links: object = harmless(_RUNS_OTHERWISE)
    image_pull_secrets: object = harmless(_RUNS_OTHERWISE)
    node_selector: object = harmless(_RUNS_OTHERWISE)
    priority_class_name: object = harmless(_RUNS_OTHERWISE)
    security_context: object = harmless(_RUNS_OTHERWISE)
    service_account_name: object = harmless(_RUNS_OTHERWISE)
    tolerations: object = harmless(_RUNS_OTHERWISE)
    topology_spread_constraints: object = harmless(_RUNS_OTHERWISE)
    volumes: object = harmless(_RUNS_OTHERWISE)


class _PodMetadata(Closed):
    labels: Labels = Field({})
    annotations: dict[Annotated[str, AfterValidator(_pods_annotation)], str] = Field({})


class _Template(Closed):
    metadata: _PodMetadata = _PodMetadata()
    spec: _Pod


class _RollingUpdate(Closed):
    max_unavailable: CountOrPercent = "25%"
    max_surge: object = harmless("how many pods more there are during an update")


class _Strategy(Closed):
    type: Literal["RollingUpdate", "Recreate"] = "RollingUpdate"
    rolling_update: _RollingUpdate = _RollingUpdate()


class _DeploymentSpec(Closed):
    replicas: Count = Field(default=1, description="how many pods answer")
    selector: LabelSelector = Field(description="which pods it takes for its own")
    strategy: _Strategy = Field(default=_Strategy(), description="how its next update goes")
    template: _Template = Field(description="restarts its pods")
    min_ready_seconds: object = harmless("an update waits longer for each pod")
    progress_deadline_seconds: object = harmless("when an update that stands still is told of")
    revision_history_limit: object = harmless("how many ReplicaSets without pods are kept")


class _Deployment(ObjectShape):
    """A Deployment of `apps`."""

    api_version: Literal["apps/v1"]
    spec: _DeploymentSpec

    def fact(self, identity: ObjectId) -> Deployment:
        spec, pod = self.spec, self.spec.template.spec
        own = [each for each in pod.containers if not _SIDECAR.fullmatch(each.name)]
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
            containers=tuple(each.fact() for each in own),
            grace_seconds=pod.termination_grace_period_seconds,
            sleep_seconds=max((it.sleep.seconds for each in own if (it := each.lifecycle.pre_stop)), default=0),
        )


class _ServicePort(Closed):
    name: str = ""
    port: Port
    target_port: TargetPort | None = None
    app_protocol: str | None = None
    protocol: Literal["TCP"] = "TCP"


class _ServiceSpec(Closed):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(default="ClusterIP", description="who can reach it")
    selector: dict[str, str] = Field(default={}, description="which pods stand behind it")
    ports: list[_ServicePort] = Field(default=[], description="where clients reach it")


class _Service(ObjectShape):
    """A Service of the core API."""

    api_version: Literal["v1"]
    spec: _ServiceSpec

    def fact(self, identity: ObjectId) -> Service:
        ports = tuple(
            ServicePort(
                each.name, each.port, each.port if each.target_port is None else each.target_port, each.app_protocol
            )
            for each in self.spec.ports
        )
        return Service(identity, self.spec.selector, ports, self.wave, self.kept)


class _ServiceAccount(ObjectShape):
    """A ServiceAccount of the core API: who the pods are in the mesh, by its name."""

    api_version: Literal["v1"]
    automount_service_account_token: object = harmless("the pods say for themselves whether they get a token")
    image_pull_secrets: object = harmless("an image that cannot be pulled holds an update up, and the old pods answer")

    def fact(self, identity: ObjectId) -> ServiceAccount:
        return ServiceAccount(identity, self.wave, self.kept)


_OfIstio = Annotated[
    Literal["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"],
    Field(description="by which version of its API it is applied"),
]


class _OutlierDetection(Closed):
    consecutive_5xx_errors: Count | None = Field(default=None, alias="consecutive5xxErrors")
    consecutive_gateway_errors: Count | None = None
    interval_seconds: Seconds | None = Field(default=None, alias="interval")
    base_ejection_seconds: Seconds | None = Field(default=None, alias="baseEjectionTime")
    max_ejection_percent: Percent | None = None
    min_health_percent: Percent | None = None


class _TcpPool(Closed):
    max_connections: Count | None = None


class _HttpPool(Closed):
    http1_max_pending_requests: Count | None = Field(default=None, alias="http1MaxPendingRequests")
    max_requests_per_connection: object = harmless("how often a connection is made anew")


class _ConnectionPool(Closed):
    tcp: _TcpPool = _TcpPool()
    http: _HttpPool = _HttpPool()


class _TrafficPolicy(Closed):
    connection_pool: _ConnectionPool | None = Field(
        default=None, description="what each client's proxy opens at most, as soon as it knows"
    )
    outlier_detection: _OutlierDetection | None = Field(
        default=None, description="when each client's proxy ejects a pod, as soon as it knows"
    )


class _Subset(Closed):
    name: str = Field(min_length=1)
    labels: dict[str, str] = Field({})


class _DestinationRuleSpec(Closed):
    host: str = Field(description="whose clients go by it")
    subsets: list[_Subset] = Field(default=[], description="which pods a route to a version means")
    traffic_policy: _TrafficPolicy = Field(default=_TrafficPolicy(), description="how clients treat the pods")


class _DestinationRule(ObjectShape):
    """A DestinationRule of `networking.istio.io`."""

    api_version: _OfIstio
    spec: _DestinationRuleSpec

    def fact(self, identity: ObjectId) -> DestinationRule:
        subsets = tuple(Subset(each.name, each.labels) for each in self.spec.subsets)
        read, pool = self.spec.traffic_policy.outlier_detection, self.spec.traffic_policy.connection_pool
        detection = None
        if read is not None:
            detection = OutlierDetection(**{each.name: getattr(read, each.name) for each in fields(OutlierDetection)})
        return DestinationRule(
            identity,
            self.spec.host,
            subsets,
            detection,
            self.wave,
            ConnectionPool(pool.tcp.max_connections, pool.http.http1_max_pending_requests) if pool else None,
            self.kept,
        )


class _PortSelector(Closed):
    number: Port


class _Destination(Closed):
    host: str
    subset: str | None = None
    port: _PortSelector | None = None


class _SetHeaders(Closed):
    set: dict[str, str] = Field({})


class _Headers(Closed):
    response: _SetHeaders = _SetHeaders()


class _RouteDestination(Closed):
    destination: _Destination
    weight: RouteWeight = 0
    headers: _Headers = Field(
        default=_Headers(), description="what each answer says of the version, as soon as each client's proxy knows"
    )


class _Exact(Closed):
    exact: str


class _Match(Closed):
    gateways: list[Literal["mesh"]] = Field(min_length=1, max_length=1)
    headers: dict[str, _Exact] = Field(min_length=1, max_length=1)


class _HttpRoute(Closed):
    name: object = harmless("a name for people and for Envoy's logs")
    match: list[_Match] = Field(default=[], max_length=1)
    route: list[_RouteDestination] = Field([])

    @model_validator(mode="after")
    def _gives_testers_one_version(self) -> Self:
        if self.match and len(self.route) != 1:
            raise ValueError(f"a route for testers has {len(self.route)} destinations and not one")
        return self

    def tester(self, position: int) -> HeaderRoute | None:
        if not self.match:
            return None
        ((header, value),) = self.match[0].headers.items()
        return HeaderRoute(header, value.exact, next(self.destinations()), position)

    def destinations(self) -> Iterator[Destination]:
        for each in self.route:
            # Istio takes a weight that is left out for 0, and gives a single destination all requests whatever its weight
            weight = ALL if len(self.route) == 1 and each.weight == 0 else each.weight
            port = each.destination.port.number if each.destination.port else None
            answers = tuple(each.headers.response.set.items())
            yield Destination(each.destination.host, each.destination.subset, port, weight, answers)


class _VirtualServiceSpec(Closed):
    gateways: list[str] = Field(default=[MESH], description="whether sidecars or gateways go by the routes")
    hosts: list[str] = Field(default=[], description="whose requests are routed")
    http: list[_HttpRoute] = Field(default=[], description="where requests go, as soon as each client's proxy knows")


class _VirtualService(ObjectShape):
    """A VirtualService of `networking.istio.io`."""

    api_version: _OfIstio
    spec: _VirtualServiceSpec

    def fact(self, identity: ObjectId) -> VirtualService:
        return VirtualService(
            identity,
            tuple(self.spec.hosts),
            tuple(tuple(each.destinations()) for each in self.spec.http if not each.match),
            self.wave,
            self.kept,
            tuple(tester for place, each in enumerate(self.spec.http) if (tester := each.tester(place))),
            tuple(self.spec.gateways),
        )


class _BudgetSpec(Closed):
    selector: LabelSelector = Field(description="which pods it protects in a drain")
    min_available: CountOrPercent | None = Field(default=None, description="how many pods a drain leaves")
    max_unavailable: CountOrPercent | None = Field(default=None, description="how many pods a drain takes at a time")
    unhealthy_pod_eviction_policy: object = harmless("whether a drain waits for pods that answer nothing")

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if self.min_available is not None and self.max_unavailable is not None:
            raise ValueError("minAvailable and maxUnavailable are both set, and one budget has one limit")
        return self


class _Budget(ObjectShape):
    """A PodDisruptionBudget of `policy`."""

    api_version: Literal["policy/v1"]
    spec: _BudgetSpec

    def fact(self, identity: ObjectId) -> Budget:
        spec = self.spec
        return Budget(identity, spec.selector.match_labels, spec.min_available, spec.max_unavailable, self.wave)


KINDS: Mapping[str, tuple[str, type[ObjectShape]]] = {
    "Service": ("", _Service),
    "ServiceAccount": ("", _ServiceAccount),
    "Deployment": ("apps", _Deployment),
    "PodDisruptionBudget": ("policy", _Budget),
    "DestinationRule": ("networking.istio.io", _DestinationRule),
    "VirtualService": ("networking.istio.io", _VirtualService),
}
"""The group of each kind that is delivered, in the AppProject's order, and its shape. Argo CD may apply no other."""


def described(kind: str, path: Iterable[str | int]) -> str:
    """What a change of a field does, in the words of the shape that has it, or that it is part of; "" where no shape has it."""
    words = ""
    shape: type[Closed] | None = KINDS[kind][1] if kind in KINDS else None
    for step in path:
        if shape is None:
            break
        if isinstance(step, int) or step.startswith("["):
            # an entry of a list: all have the same shape
            continue
        field = next((each for each in shape.model_fields.values() if each.alias == step), None)
        words, shape = (field.description or words, part_of(field.annotation)) if field else ("", None)
    return words


def part_of(annotation: Any) -> type[Closed] | None:
    """The shape that a field, or each entry of its list, has; None where it is a plain value or a map by any key."""
    if get_origin(annotation) is dict:
        return None
    if isinstance(annotation, type) and issubclass(annotation, Closed):
        return annotation
    return next((part for each in get_args(annotation) if (part := part_of(each))), None)
