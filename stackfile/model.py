"""The shape of a stack file: read once, checked whole, and from then on typed and frozen.

Keys are camelCase in the files, as Kubernetes and Istio write them, and snake_case in Python. A default is the lab text's
value unless its field says otherwise. A field's `description` is also what an error tells the reader to write there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from rules.facts.region import Limits
from rules.facts.values import Shape, shown
from rules.facts.versions import by_number
from rules.facts.workloads import Delivery
from stackfile.messages import explained, fields_of, is_part, nearest_of, value_type
from stackfile.values import (
    PERCENT,
    ChartSource,
    ChartVersion,
    ClientErrorStatus,
    Counters,
    Cron,
    Domain,
    Drain,
    Duration,
    EjectionPercent,
    EnvironmentName,
    Errors,
    GatewayNamespace,
    HeaderName,
    HeaderOrNone,
    HeaderValue,
    Image,
    ImagePullPolicy,
    Increase,
    Length,
    Limit,
    ManifestSource,
    Method,
    MountPath,
    Name,
    ObjectName,
    PodCount,
    Port,
    PrometheusAddress,
    PrometheusService,
    Quantity,
    Reason,
    RelativePath,
    Replicas,
    RepositoryUrl,
    RequestWeight,
    Revision,
    RuleId,
    Seconds,
    ServiceType,
    SettingPath,
    Status,
    TagPattern,
    Text,
    TimeZone,
    UrlPath,
    UserId,
    Weight,
    milliseconds,
)

PROJECT = "echo-rollout"
_LIMITS = Limits()
MOST_BOUNDS = 3
"""Latency bounds of a service, whether they are declared or measured: each has its part of a promotion's risk."""
_TAKEN = ("argocd", "default", "echo-probe", "istio-system")
"""Namespaces of the program and of Kubernetes that cannot be a service's; so are all that begin with kube-."""
OFFICIAL_MANIFEST = "https://raw.githubusercontent.com/argoproj/argo-cd/v3.5.7/manifests/core-install.yaml"


class ConfigError(ValueError):
    """A stack's configuration cannot be used.

    Attributes:
        problems: One line for each thing that is wrong with it.
        region: The region that it names all the same; "" where it names none.
    """

    def __init__(self, problems: Sequence[str], region: str = "") -> None:
        self.problems = tuple(problems)
        self.region = region
        super().__init__("\n".join(problems))


class _Part(Shape):
    """One object of a stack file: closed and frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)


class ClusterConfig(_Part):
    """Which cluster a stack brings up."""

    context: Text = Field(
        description="the name of a context of the kubeconfig (`kubectl config get-contexts` lists them); it may be renamed, and "
        "must lead to the cluster that the stack is on"
    )
    kubeconfig: Text | None = Field(
        default=None, description="the path of a kubeconfig file; left out, $KUBECONFIG or ~/.kube/config is read"
    )


class MeshConfig(_Part):
    """Who this region is in the mesh; `meshId` and `trustDomain` are the same in every region."""

    network: Name = Field(description="the name of this cluster's network in Istio, one for each cluster")
    mesh_id: Name = Field(default="training-mesh", description="the name of the mesh")
    trust_domain: Domain = Field(default="corp.local", description="the domain of the workloads' identities")


def _without_effect(value: object, info: ValidationInfo) -> object:
    """Refuse a setting of an installation that the stack does not make."""
    if info.data.get("install") is False:
        raise ValueError(
            "has no effect with install: false — the program changes nothing of what is there; leave it out"
        )
    return value


class IstioConfig(_Part):
    """Which Istio is installed and from where, or which one is there."""

    install: StrictBool = Field(
        default=True, description="true: it is installed; false: the one that is there is checked and used"
    )
    retain: StrictBool = Field(
        default=False,
        description="true: it stays on the cluster when the stack lets go of it, as it must before install: false",
    )
    version: ChartVersion = Field(
        default="1.31.1",
        description="the exact version of the Helm charts base, istiod and gateway; with install: false, the one that is there",
    )
    charts: ChartSource = Field(
        default="https://istio-release.storage.googleapis.com/charts",
        description="a chart repository's address, or a directory (or oci:// address) that holds base, istiod and gateway",
    )
    values: Mapping[str, Any] = Field(
        default_factory=dict, description="Helm values for istiod, merged over the program's own"
    )

    _of_an_installation = field_validator("retain", "values")(_without_effect)


class ConnectionPoolConfig(_Part):
    """Limits of each client proxy towards each subset; the defaults are the lab text's."""

    http1_max_pending_requests: Limit = Field(default=1000, description="requests that may wait for a connection")
    max_requests_per_connection: Limit = Field(default=100, description="requests after which a connection is closed")
    max_connections: Limit = Field(default=1000, description="open connections")


class OutlierDetectionConfig(_Part):
    """When a client proxy stops sending to a pod that fails; the defaults are the lab text's."""

    consecutive_5xx_errors: Errors = Field(
        default=10, alias="consecutive5xxErrors", description="answers 5xx in a row after which a pod is ejected"
    )
    interval: Duration = Field(default="5s", description="the time between two looks at the pods, such as 5s")
    base_ejection_time: Duration = Field(default="30s", description="the shortest time without traffic, such as 30s")


class VersionConfig(_Part):
    """One version of a service; `weight` is the percent of the requests that it is to answer."""

    image: Image = Field(description="an image with a fixed tag or a digest")
    replicas: Replicas = Field(description="the number of pods, 0..1000")
    weight: Weight = Field(description="the percent of the requests, 0..100; the weights of all versions make 100")
    env: Mapping[EnvironmentName, str] = Field(
        default_factory=dict, description="environment variables by name, for this version alone"
    )
    config_maps: Mapping[MountPath, ObjectName] = Field(
        default_factory=dict, description="ConfigMaps by the folder in which the container finds their keys as files"
    )
    secrets: Mapping[MountPath, ObjectName] = Field(
        default_factory=dict, description="Secrets by the folder in which the container finds their keys as files"
    )
    testers: StrictBool = Field(
        default=True, description="false: testers cannot ask for it, as it must be before it is removed"
    )

    @field_validator("weight")
    @classmethod
    def _has_pods_to_answer(cls, weight: int, info: ValidationInfo) -> int:
        if weight > 0 and info.data.get("replicas") == 0:
            raise ValueError(
                f"{weight} goes to a version with 0 replicas — this share of the requests would fail with 503; "
                "give it replicas, or weight 0"
            )
        return weight


class QuantitiesConfig(_Part):
    """CPU and memory, as Kubernetes writes them."""

    cpu: Quantity | None = Field(default=None, description="CPUs, such as 20m or 1; left out: not said")
    memory: Quantity | None = Field(default=None, description="memory, such as 64Mi; left out: not said")


class ResourcesConfig(_Part):
    """What a container asks for, and what it may use at most."""

    requests: QuantitiesConfig = Field(
        default=QuantitiesConfig(cpu="20m", memory="32Mi"), description="what the scheduler keeps free for each pod"
    )
    limits: QuantitiesConfig = Field(
        default=QuantitiesConfig(cpu="1", memory="64Mi"), description="what each pod may use at most"
    )


class ProbesConfig(_Part):
    """The paths at which the kubelet asks a container; 2xx and 3xx are well."""

    startup: UrlPath = Field(default="/healthz", description="asked until it is well, for 30 seconds")
    readiness: UrlPath = Field(default="/readyz", description="a pod gets requests while it is well")
    liveness: UrlPath = Field(default="/healthz", description="a container that is not well is restarted")


class DrainConfig(_Part):
    """How a pod that is to end loses no request: it goes on answering while clients' proxies learn that it leaves."""

    by: Drain = Field(
        default="server",
        description="server: the container itself goes on for DRAIN_SECONDS after SIGTERM; sleep: the kubelet waits before SIGTERM, "
        "for a container that stops at once",
    )
    seconds: Seconds = Field(default=5, description="the seconds for which it goes on, 1..300")
    grace_seconds: Seconds = Field(
        default=30,
        description="the seconds after which it is killed: the drain and the slowest request together, 1..300",
    )


class TestersConfig(_Part):
    """How testers ask for one version at any weight: inside the mesh, and where a Secret is named, through the gateway too."""

    __test__ = False

    header: HeaderName = Field(description="the request header whose value is a version's name")
    gateway_secret: ObjectName | None = Field(
        default=None,
        description="the name of a Secret in the gateway's namespace: through the gateway a version may be asked for with its `value` in "
        "the header <header>-secret too; left out, nobody outside the mesh can ask for a version",
    )


def _split_problem(weights: Mapping[str, int]) -> str | None:
    """Say why these weights are no split of all requests, or nothing."""
    if not weights:
        return "names no version — there would be nothing to send requests to; add one with image, replicas and weight"
    if sum(weights.values()) == PERCENT:
        return None
    return (
        f"the weights {' + '.join(map(str, weights.values()))} make {sum(weights.values())}, not 100 — a weight is a percent "
        "of the requests, and the measured shares are held against it; change them so that they make 100"
    )


def _stable_problem(stable: str, versions: Iterable[str]) -> str | None:
    """Say why nothing could be rolled back to this version, or nothing."""
    known = sorted(versions, key=by_number)
    if stable in known:
        return None
    return (
        f"{shown(stable)} is not one of the versions — in a rollback nothing could take the requests back; "
        f"{nearest_of(stable, known, 'versions')}"
    )


class RequestConfig(_Part):
    """One kind of request that the probe measures a service with."""

    method: Method = Field(default="GET", description="the method, such as GET or POST")
    path: UrlPath = Field(default="/", description="the path and the query")
    headers: Mapping[HeaderName, HeaderValue] = Field(default_factory=dict, description="headers, each with its value")
    body: str = Field(default="", description="the body")
    weight: RequestWeight = Field(
        default=1, description="how often it is sent in proportion to the other kinds, 1..1000"
    )
    expected_status: tuple[Status, ...] = Field(
        default=(200,),
        min_length=1,
        description="a list of the statuses with which it is answered; any other is a failure",
    )


class ServiceConfig(_Part):
    """A service: its versions, what their pods are like, and how clients reach and treat them.

    The versions are kept in the order v1, v2, v10, whatever the file's: Pulumi hands a program its configuration sorted by
    bytes, so the file's own order is not to be had.
    """

    versions: Mapping[Name, VersionConfig] = Field(
        description="the versions by name, each with image, replicas and weight"
    )
    max_ejection_percent: EjectionPercent | None = Field(
        default=None,
        description="the greatest percent of a version's pods that may be ejected at a time, 1..100; left out, Envoy's "
        "own limit of 10 % holds, which ejects nothing from a service of less than ten pods",
    )
    connection_pool: ConnectionPoolConfig = Field(
        default=ConnectionPoolConfig(), description="the limits of the connection pool"
    )
    outlier_detection: OutlierDetectionConfig = Field(
        default=OutlierDetectionConfig(), description="when a failing pod is ejected"
    )
    stable: Name | None = Field(
        default=_LIMITS.stable,
        description="the version that takes all requests back in a rollback; left out, the oldest that has requests",
    )
    pods_for_all_traffic: PodCount | None = Field(
        default=_LIMITS.pods_for_all_traffic,
        description="the number of pods that can answer all requests, 1..1000; left out, the replicas of the largest version",
    )

    own_namespace: Name | None = Field(
        default=None, alias="namespace", description="the namespace of its objects; left out, the service's name"
    )
    port: Port = Field(default=80, description="the port of its Service")
    container_port: Port = Field(default=8080, description="the port on which its containers listen, also as PORT")
    env: Mapping[EnvironmentName, str] = Field(
        default_factory=dict,
        description="environment variables by name, besides REGION, VERSION, PORT and DRAIN_SECONDS",
    )
    resources: ResourcesConfig = Field(default=ResourcesConfig(), description="CPU and memory of each pod")
    probes: ProbesConfig = Field(default=ProbesConfig(), description="where the kubelet asks whether a pod is well")
    drain: DrainConfig = Field(default=DrainConfig(), description="how a pod ends without losing a request")
    service_account: Name | None = Field(
        default=None, description="the name of its ServiceAccount; left out, the service's name"
    )
    run_as_user: UserId = Field(
        default=65532, description="the user and group of its containers, 1..65535; root may not"
    )
    writable: tuple[MountPath, ...] = Field(
        default=(), description="a list of folders that its containers may write to; all else is read-only"
    )
    hosts: tuple[Domain, ...] = Field(
        default=(), description="a list of the names by which clients outside the mesh ask for it, through the gateway"
    )
    version_header: HeaderOrNone = Field(
        default="x-rollout-version",
        description='the response header that names the version that a request was sent to; "" for none',
    )
    testers: TestersConfig | None = Field(
        default=None, description="how testers ask for one version at any weight; left out, they cannot"
    )
    requests: tuple[RequestConfig, ...] = Field(
        default=(RequestConfig(),), min_length=1, description="a list of the kinds of requests that it is measured with"
    )
    failure_statuses: tuple[ClientErrorStatus, ...] = Field(
        default=(),
        description="a list of the statuses in 400..499 that are failures like 5xx, such as 429, of other clients' requests too",
    )
    latency_bounds: tuple[Duration, ...] = Field(
        default=(),
        max_length=MOST_BOUNDS,
        description="a list of up to three latencies beyond which a request is slow, such as 250ms; left out, they are measured",
    )
    path: RelativePath | None = Field(
        default=None, description="the folder of its overlay; left out, deploy/overlays/<region>/<service>"
    )

    _name: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """The service's name: the key by which the file has it."""
        return self._name

    @property
    def namespace(self) -> str:
        """The namespace of its objects."""
        return self.own_namespace or self._name

    @property
    def latency_bounds_ms(self) -> tuple[int, ...]:
        """The latencies beyond which a request is slow, if they are declared."""
        return tuple(map(milliseconds, self.latency_bounds))

    @property
    def for_testers(self) -> frozenset[str]:
        """The versions that testers can ask for."""
        return frozenset(name for name, version in self.versions.items() if self.testers and version.testers)

    @field_validator("testers")
    @classmethod
    def _have_a_host_to_ask(cls, testers: TestersConfig | None, info: ValidationInfo) -> TestersConfig | None:
        if testers and testers.gateway_secret and not info.data.get("hosts"):
            raise ValueError(
                f"gatewaySecret {testers.gateway_secret} is for testers outside the mesh, and the service has no hosts — the gateway "
                "routes nobody to it; name a host, or leave gatewaySecret out"
            )
        return testers

    @field_validator("failure_statuses")
    @classmethod
    def _are_not_expected(cls, statuses: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        expected = {status for kind in info.data.get("requests", ()) for status in kind.expected_status}
        if both := expected.intersection(statuses):
            raise ValueError(
                f"{min(both)} is an expectedStatus of a request too — the probe would take for a success what is a failure to others; "
                "leave it out of one of the two"
            )
        return statuses

    @field_validator("drain")
    @classmethod
    def _ends_before_it_is_killed(cls, drain: DrainConfig) -> DrainConfig:
        if drain.grace_seconds <= drain.seconds:
            raise ValueError(
                f"graceSeconds {drain.grace_seconds} is not more than seconds {drain.seconds} — a pod would be killed with requests "
                "under way; give it more graceSeconds"
            )
        return drain

    @field_validator("versions")
    @classmethod
    def _split_all_requests(cls, versions: Mapping[str, VersionConfig]) -> Mapping[str, VersionConfig]:
        if problem := _split_problem({name: version.weight for name, version in versions.items()}):
            raise ValueError(problem)
        return {name: versions[name] for name in sorted(versions, key=by_number)}

    @field_validator("stable")
    @classmethod
    def _is_a_version(cls, stable: str | None, info: ValidationInfo) -> str | None:
        versions = info.data.get("versions")
        if stable and versions and (problem := _stable_problem(stable, versions)):
            raise ValueError(problem)
        return stable

    @property
    def weights(self) -> dict[str, int]:
        """The percent of the requests that each version is to answer."""
        return {name: version.weight for name, version in self.versions.items()}

    @property
    def images(self) -> dict[str, str]:
        """The image that each version runs."""
        return {name: version.image for name, version in self.versions.items()}


class ProbeConfig(_Part):
    """The client that sends the measuring requests."""

    image: Image = Field(description="an image with a fixed tag or a digest")


class RepositoryConfig(_Part):
    """Where Argo CD reads what it delivers."""

    url: RepositoryUrl = Field(description="the Git repository's address, without a password")
    revision: Revision = Field(default="main", description="the branch (or tag, or commit) that Argo CD follows")
    secret: ObjectName | None = Field(
        default=None,
        description="the name of a Secret in the namespace argocd, made as Argo CD wants it, for a private repository",
    )

    @property
    def branch(self) -> str:
        """The revision without the `refs/heads/` that it may be written with."""
        return self.revision.removeprefix("refs/heads/")


class ArgoCdImages(_Part):
    """Other images than the manifest's."""

    argocd: Image | None = Field(default=None, description="Argo CD's own image, with a fixed tag or a digest")
    redis: Image | None = Field(default=None, description="the image of its cache, with a fixed tag or a digest")


class ArgoCdConfig(_Part):
    """Which Argo CD is installed or is there, and what becomes of the workloads when its Application is deleted."""

    install: StrictBool = Field(
        default=True, description="true: it is installed; false: the one that is there is checked and used"
    )
    retain: StrictBool = Field(
        default=False,
        description="true: it stays on the cluster when the stack lets go of it, as it must before install: false",
    )
    manifest: ManifestSource = Field(
        default=OFFICIAL_MANIFEST,
        description="the address or the path of an install manifest, the official core-install.yaml or install.yaml, and "
        "behind it #sha256=<its hash> where it must be no other",
    )
    images: ArgoCdImages = Field(default=ArgoCdImages(), description="images other than the manifest's")
    image_pull_policy: ImagePullPolicy | None = Field(
        default=None, description="Always, IfNotPresent or Never; left out, what the manifest says"
    )
    application_sets: StrictBool = Field(
        default=True,
        description="true: the whole manifest; false: without ApplicationSets, which this program does not use",
    )
    project: Name = Field(
        default="echo", description="the name of the AppProject, which says what the services' Applications may change"
    )
    cascade: StrictBool = Field(
        default=False,
        description="true: the workloads are deleted with the Application, but never during a handover; false: they stay, "
        "and pulumi destroy is refused",
    )

    _of_an_installation = field_validator("retain", "manifest", "images", "image_pull_policy", "application_sets")(
        _without_effect
    )


def _named_setting(setting: str) -> str:
    """Refuse a path that no setting has: follow it through the types, as far as they name their keys."""
    harm = "no difference would be found by it"
    annotation: Any = RegionConfig
    named_by_file = False
    for step in setting.split("."):
        named_by_file = not is_part(annotation)
        if step in ("*", "**") and not named_by_file:
            return setting
        if get_origin(annotation) is Mapping:
            annotation = get_args(annotation)[1]
        elif annotation is Any:
            return setting
        elif not is_part(annotation):
            raise ValueError(
                f"{shown(setting)} names no setting: what is above {step} has no keys — {harm}; end it there"
            )
        elif step in (fields := fields_of(annotation)):
            annotation = value_type(fields[step].annotation)
        else:
            raise ValueError(
                f"{shown(setting)} names no setting: there is no {step} — {harm}; {nearest_of(step, [*fields], 'keys there')}"
            )
    if (is_part(annotation) and not named_by_file) or get_origin(annotation) is Mapping:
        raise ValueError(
            f"{shown(setting)} names an object, not a setting — {harm}; for all that is below it write {setting}.**"
        )
    return setting


class FreezeConfig(_Part):
    """A window in which a region is left as it is, but for a way back."""

    cron: Cron = Field(description="when it begins: minute, hour, day, month and weekday, such as 0 18 * * 5")
    length: Length = Field(description="how long it is, such as 62h or 1h30m")
    time_zone: TimeZone | None = Field(
        default=None, description="the time zone of cron, such as Europe/Berlin; left out, UTC"
    )
    reason: Reason = Field(description="why")


class RulesConfig(_Part):
    """What the rules allow in this region; each key takes the place of its default."""

    largest_increase: Increase = Field(
        default=_LIMITS.largest_increase,
        description="the points by which a canary's weight may rise in one change, 1..100",
    )
    introduce_together: StrictBool = Field(
        default=_LIMITS.introduce_together,
        description="true: a new version may start here in the change that starts it in another region; false: not before",
    )
    immutable_tags: tuple[TagPattern, ...] = Field(
        default=_LIMITS.immutable_tags,
        description="a list of regular expressions; a tag that matches one whole is taken never to move",
    )
    may_differ: tuple[Annotated[SettingPath, AfterValidator(_named_setting)], ...] = Field(
        default=_LIMITS.may_differ,
        description="a list of the settings that may differ between regions: * is any one key, ** at the end all below",
    )
    waived: Mapping[RuleId, Reason] = Field(
        default=_LIMITS.waived, description="the ids of rules that need not hold here, each with the reason"
    )
    freeze: tuple[FreezeConfig, ...] = Field(
        default=(),
        description="a list of the windows in which nobody changes the region; a way back may come at any time",
    )


class GatewayConfig(_Part):
    """The ingress gateway, through which clients outside the mesh reach the services."""

    namespace: GatewayNamespace = Field(default="istio-ingress", description="the gateway's own namespace")
    replicas: PodCount = Field(default=2, description="the number of pods, 1..1000")
    tls_secret: ObjectName | None = Field(
        default=None,
        description="the name of a Secret in the gateway's namespace, with tls.crt and tls.key, for HTTPS on port 443 beside HTTP; "
        "left out, HTTP on port 80 only",
    )
    service_type: ServiceType = Field(
        default="LoadBalancer",
        description="LoadBalancer, ClusterIP or NodePort; an update waits for the address of a LoadBalancer",
    )
    values: Mapping[str, Any] = Field(
        default_factory=dict, description="Helm values for the chart gateway, merged over the program's own"
    )


class AccessConfig(_Part):
    """The accounts with which `rollout` can be run in this region."""

    clients: tuple[Name, ...] = Field(
        default=(),
        description="a list of the namespaces, besides the stack's own, that have pods with sidecars: their proxies are asked too",
    )


class PrometheusConfig(_Part):
    """A Prometheus that scrapes the sidecars and gateways of this region."""

    address: PrometheusAddress | None = Field(
        default=None, description="the address at which rollout asks it, without a password"
    )
    service: PrometheusService | None = Field(
        default=None,
        validate_default=True,
        description="in place of an address: <namespace>/<name>:<port> of its Service, which the cluster's API leads to",
    )
    counters: Counters = Field(
        default="istio",
        description="istio: istio_requests_total; envoy: envoy_cluster_upstream_rq, which Istio keeps only where it is told to",
    )

    @field_validator("service")
    @classmethod
    def _is_in_one_place(cls, service: str | None, info: ValidationInfo) -> str | None:
        # an address that is refused is a problem of its own
        if "address" in info.data and (service is None) == (info.data["address"] is None):
            raise ValueError(
                f"is {'missing' if service is None else 'there beside address'} — Prometheus is asked in one place; "
                "give its address, or its service as <namespace>/<name>:<port>"
            )
        return service


class MetricsConfig(_Part):
    """What rollout promote reads of what all clients get, and where."""

    prometheus: PrometheusConfig | None = Field(
        default=None,
        description="a Prometheus, with its service or its address; left out, each sidecar and gateway is asked",
    )
    latency: StrictBool = Field(
        default=False,
        description="true: proxies that start from then on count answers by status class and latency for each subset; rollout "
        "promote watches both",
    )


class RegionConfig(_Part):
    """All that a stack file says about one region."""

    region: Name = Field(description="the region's name; left out, the stack's")
    delivery: Delivery = Field(
        default="gitops",
        description='"gitops" or leave it out: Argo CD applies the workloads; "direct": Pulumi itself does; "handover": both, '
        "between the one and the other",
    )
    cluster: ClusterConfig = Field(description="the cluster of this stack, with its context")
    mesh: MeshConfig = Field(description="this region's place in the mesh, with its network")
    istio: IstioConfig = Field(default=IstioConfig(), description="Istio's version, charts and values")
    repository: RepositoryConfig | None = Field(
        default=None, validate_default=True, description="the Git repository that Argo CD reads, with its url"
    )
    argocd: ArgoCdConfig = Field(default=ArgoCdConfig(), description="Argo CD's manifest and images")
    services: Mapping[Name, ServiceConfig] = Field(description="the services by name, each with its versions")
    probe: ProbeConfig = Field(description="the measuring client, with its image")
    rules: RulesConfig = Field(default=RulesConfig(), description="what the rules allow in this region")
    gateway: GatewayConfig | None = Field(
        default=None,
        validate_default=True,
        description="the ingress gateway; left out, there is none, and clients outside the mesh reach no service",
    )
    access: AccessConfig | None = Field(
        default=None, description="the accounts with which rollout can be run here; left out, there are none"
    )
    metrics: MetricsConfig = Field(
        default=MetricsConfig(),
        description="what rollout promote reads of what all clients get; left out, it asks each sidecar and gateway for failures",
    )

    @field_validator("services")
    @classmethod
    def _know_their_names(cls, services: Mapping[str, ServiceConfig]) -> Mapping[str, ServiceConfig]:
        if not services:
            raise ValueError("names no service — there would be nothing to deliver; add one with its versions")
        for name, service in services.items():
            service._name = name
            if service.namespace in _TAKEN or service.namespace.startswith("kube-"):
                raise ValueError(
                    f"{name} would be in the namespace {service.namespace}, which is not the services' own — what runs there would "
                    f"get sidecars and refuse plain requests; set namespace of {name} to another name"
                )
        return {name: services[name] for name in sorted(services, key=by_number)}

    @field_validator("gateway")
    @classmethod
    def _is_apart_and_there_for_hosts(cls, gateway: GatewayConfig | None, info: ValidationInfo) -> GatewayConfig | None:
        services: Mapping[str, ServiceConfig] = info.data.get("services") or {}
        asked = [name for name, service in services.items() if service.hosts]
        if gateway is None and asked:
            raise ValueError(
                f"is missing — clients outside the mesh are to ask for {asked[0]} by its hosts, and nothing would answer them; "
                "write gateway: {}, or leave the hosts out"
            )
        if gateway and gateway.namespace in [service.namespace for service in services.values()]:
            raise ValueError(
                f"{gateway.namespace} is the namespace of a service too — the gateway's pods would have to be asked by mutual TLS, which "
                "clients outside the mesh cannot; give one of them another"
            )
        return gateway

    @field_validator("repository")
    @classmethod
    def _is_there_for_argo_cd(
        cls, repository: RepositoryConfig | None, info: ValidationInfo
    ) -> RepositoryConfig | None:
        # a delivery that is not known is a problem of its own
        if repository is None and info.data.get("delivery") in ("gitops", "handover"):
            raise ValueError(
                "is missing — Argo CD would have nothing to deliver; give the Git repository with its url, or set delivery: "
                "direct"
            )
        return repository

    @classmethod
    def parse(cls, values: Mapping[str, object], *, region: str, source: str) -> Self:
        """Check the values of one stack.

        Args:
            values: The keys of the project's namespace, without it.
            region: The region's name where `values` has none.
            source: The stack file's name, for the messages.

        Raises:
            ConfigError: With every problem of the values, each with its path, its reason and its mend.
        """
        # in the order in which Pulumi passes them, so that it is told in the same order everywhere
        given = {key: value for key, value in sorted(values.items()) if value not in (None, "")}
        try:
            return cls.model_validate({"region": region, **given}, by_alias=True, by_name=False)
        except ValidationError as error:
            if not given:
                needed = ", ".join(str(problem["loc"][0]) for problem in error.errors())
                raise ConfigError(
                    [
                        f"{source}: $: there is no configuration — the program cannot know which cluster to bring up, nor "
                        f"what to run there; copy another stack's file to {source} and change it (needed: {needed})"
                    ]
                ) from None
            problems = [explained(cls, problem) for problem in error.errors()]
            problems += [problem for problem in _problems_between_keys(given) if problem not in problems]
            raise ConfigError([f"{source}: {problem}" for problem in problems]) from None


def _problems_between_keys(values: Mapping[str, object]) -> Iterator[str]:
    """Hold keys of a service against each other; pydantic stops before that where one of the two has a fault of its own."""
    for service, value in _object(values.get("services")).items():
        versions = _object(_object(value).get("versions"))
        weights = {name: _weight(_object(version).get("weight")) for name, version in versions.items()}
        known = {name: weight for name, weight in weights.items() if weight is not None}
        if weights and known == weights and (problem := _split_problem(known)):
            yield f"$.services.{service}.versions: {problem}"
        stable = _object(value).get("stable")
        if versions and isinstance(stable, str) and (problem := _stable_problem(stable, versions)):
            yield f"$.services.{service}.stable: {problem}"


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _weight(value: object) -> int | None:
    try:
        return TypeAdapter(Weight).validate_python(value)
    except ValidationError:
        return None
