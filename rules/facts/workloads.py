"""The objects that decide where a request goes, as far as the rules look at them: flat, frozen, without Pulumi or YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

SYNC_WAVE = "argocd.argoproj.io/sync-wave"
"""The annotation that says in which wave Argo CD syncs an object."""
ALL = 100
"""All requests, or all pods, as a percent."""
MESH = "mesh"
"""What stands for all sidecars among the gateways of a VirtualService; Istio's default."""


@dataclass(frozen=True, order=True)
class ObjectId:
    """What names an object in a cluster, whoever applies it."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Probe:
    """How the kubelet asks a container by HTTP, and for how many seconds it may fail before the kubelet acts."""

    path: str
    port: int | str
    patience_seconds: int


@dataclass(frozen=True)
class Container:
    """A container of a pod, the numbers of its named ports, and how the kubelet asks whether it is well; None is not at all."""

    name: str
    ports: Mapping[str, int]
    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None


@dataclass(frozen=True)
class Deployment:
    """Pods of one kind.

    Attributes:
        replicas: How many pods; Kubernetes' own default is 1.
        selector: The labels by which it knows its pods.
        labels: The labels that its pods carry.
        images: The images of its containers, the sidecar's not among them.
        ports: The numbers of its containers' named ports.
        unavailable: How many of its pods, or which percent such as "25%", may be missing during an update.
        wave: In which wave Argo CD syncs it.
        containers: Its containers, the sidecar not among them.
        grace_seconds: How long a pod that is to end may go on answering; Kubernetes' own default is 30.
        sleep_seconds: For how much of that the kubelet waits before it tells the containers, the longest of them.
    """

    id: ObjectId
    replicas: int
    selector: Mapping[str, str]
    labels: Mapping[str, str]
    images: tuple[str, ...]
    ports: Mapping[str, int]
    unavailable: int | str = "25%"
    wave: int = 0
    containers: tuple[Container, ...] = ()
    grace_seconds: int = 30
    sleep_seconds: int = 0


@dataclass(frozen=True)
class ServicePort:
    """A port of a Service; `target` is a number or the name of a container's port."""

    name: str
    number: int
    target: int | str
    app_protocol: str | None = None


@dataclass(frozen=True)
class Service:
    """A name in the mesh, and the pods behind it. `kept`: Argo CD does not delete it where a commit has lost it."""

    id: ObjectId
    selector: Mapping[str, str]
    ports: tuple[ServicePort, ...]
    wave: int = 0
    kept: bool = True


@dataclass(frozen=True)
class ServiceAccount:
    """Who pods are in the mesh. `kept` as of a Service."""

    id: ObjectId
    wave: int = 0
    kept: bool = True


@dataclass(frozen=True)
class Subset:
    """A part of a Service's pods, with a name that routes can use."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class OutlierDetection:
    """When a client proxy ejects a pod. None is what is not set: Istio's and Envoy's own defaults hold.

    Attributes:
        consecutive_5xx_errors: Answers 5xx in a row; 0 turns the check off, not set is 5 in Istio.
        consecutive_gateway_errors: Answers 502, 503 or 504 in a row; 0 or not set turns the check off.
        interval_seconds: The time between two looks.
        base_ejection_seconds: The shortest ejection.
        max_ejection_percent: The greatest percent of a subset's pods that may be out at a time; not set is 10 in Envoy.
        min_health_percent: The percent of healthy pods below which ejection is not heeded; 0 or not set is never.
    """

    consecutive_5xx_errors: int | None = None
    consecutive_gateway_errors: int | None = None
    interval_seconds: float | None = None
    base_ejection_seconds: float | None = None
    max_ejection_percent: int | None = None
    min_health_percent: int | None = None


@dataclass(frozen=True)
class ConnectionPool:
    """What one client proxy may open towards one subset; None is Istio's own, 2**32 - 1.

    Attributes:
        max_connections: Connections of HTTP/1.1, each of which carries one request at a time.
        max_pending_requests: Requests that wait for a connection; one more is answered 503 by the proxy itself.
    """

    max_connections: int | None = None
    max_pending_requests: int | None = None


@dataclass(frozen=True)
class DestinationRule:
    """The subsets of a host, and how clients treat the pods of each. `kept` as of a Service."""

    id: ObjectId
    host: str
    subsets: tuple[Subset, ...]
    outlier_detection: OutlierDetection | None = None
    wave: int = 0
    connection_pool: ConnectionPool | None = None
    kept: bool = True


@dataclass(frozen=True)
class Destination:
    """Where a route sends a share of its requests.

    Attributes:
        subset: None for all pods of the host.
        answers: The headers that an answer from there gets, each with its value.
    """

    host: str
    subset: str | None
    port: int | None
    weight: int
    answers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class HeaderRoute:
    """A route of its own, inside the mesh, for the requests that have a header with this value.

    Attributes:
        position: Its place among all HTTP routes of the VirtualService, from 0.
    """

    header: str
    value: str
    destination: Destination
    position: int


@dataclass(frozen=True)
class VirtualService:
    """The routes of some hosts: one tuple of destinations for each HTTP route that takes any request. `kept` as of a Service.

    Attributes:
        testers: The routes that take only the requests of testers.
        gateways: Where the routes hold: `mesh` for the sidecars, `namespace/name` for a gateway.
    """

    id: ObjectId
    hosts: tuple[str, ...]
    routes: tuple[tuple[Destination, ...], ...]
    wave: int = 0
    kept: bool = True
    testers: tuple[HeaderRoute, ...] = ()
    gateways: tuple[str, ...] = (MESH,)

    @property
    def positions(self) -> tuple[int, ...]:
        """The place of each of the `routes` among all HTTP routes."""
        taken = {each.position for each in self.testers}
        return tuple(each for each in range(len(self.routes) + len(taken)) if each not in taken)


@dataclass(frozen=True)
class Budget:
    """A PodDisruptionBudget. One of the two limits is set, to a number or to a percent such as "50%"."""

    id: ObjectId
    selector: Mapping[str, str]
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    wave: int = 0


Object = Deployment | Service | ServiceAccount | DestinationRule | VirtualService | Budget
"""What rules look into."""
Document = Mapping[str, object]
"""An object as its YAML has it."""


@dataclass(frozen=True)
class Unreadable:
    """An object, or a file, that is not what its kind must be; `where` and `what` are a violation's.

    Attributes:
        kind: The kind of the object, None where even that cannot be read.
    """

    where: str
    what: str
    kind: str | None = None


@dataclass(frozen=True)
class Workloads:
    """All that is delivered of a service to one region.

    Attributes:
        documents: Every object as it is written, also those that cannot be read.
        unreadable: What should have been an object and could not be read as one, and what in an object no rule judges.
    """

    deployments: tuple[Deployment, ...] = ()
    services: tuple[Service, ...] = ()
    service_accounts: tuple[ServiceAccount, ...] = ()
    destination_rules: tuple[DestinationRule, ...] = ()
    virtual_services: tuple[VirtualService, ...] = ()
    budgets: tuple[Budget, ...] = ()
    documents: Mapping[ObjectId, Document] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()

    @classmethod
    def of(
        cls, objects: Iterable[Object], documents: Mapping[ObjectId, Document], unreadable: Iterable[Unreadable]
    ) -> Workloads:
        """These objects in one order, so that the same ones are equal wherever they were read."""
        ordered = sorted(objects, key=lambda each: each.id)
        return cls(
            tuple(each for each in ordered if isinstance(each, Deployment)),
            tuple(each for each in ordered if isinstance(each, Service)),
            tuple(each for each in ordered if isinstance(each, ServiceAccount)),
            tuple(each for each in ordered if isinstance(each, DestinationRule)),
            tuple(each for each in ordered if isinstance(each, VirtualService)),
            tuple(each for each in ordered if isinstance(each, Budget)),
            dict(sorted(documents.items())),
            tuple(unreadable),
        )

    @property
    def ids(self) -> frozenset[ObjectId]:
        """What names every object, also those that cannot be read."""
        objects: tuple[Object, ...] = (
            *self.deployments,
            *self.services,
            *self.service_accounts,
            *self.destination_rules,
            *self.virtual_services,
            *self.budgets,
        )
        return frozenset({*self.documents, *(each.id for each in objects)})


@dataclass(frozen=True)
class Version:
    """What the objects of a region together say of one version.

    Attributes:
        name: The name of its subset; where it has none, the label `version` of its pods.
        weight: The percent of the requests that it gets, 0 where no route names it.
        routed: A route names it, be it with weight 0.
        testers: A route for testers sends it requests, whatever its weight.
        subset: It has a subset.
        replicas: The pods of the Deployments that its subset (or its label) selects; 0 where there is none.
        deployments: These Deployments.
    """

    name: str
    weight: int
    routed: bool
    subset: bool
    replicas: int
    deployments: tuple[Deployment, ...]
    testers: bool = False

    @property
    def images(self) -> tuple[str, ...]:
        """The images that it runs."""
        return tuple(image for deployment in self.deployments for image in deployment.images)


Delivery = Literal["gitops", "handover", "direct"]
