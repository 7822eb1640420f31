"""A stack's configuration as the facts that the rules look at. Pure: without Pulumi, cluster or files."""

from collections.abc import Iterator, Mapping

from components.names import CONTAINER_PORT, ECHO, ECHO_HOST, ECHO_NAMESPACE, HTTP_PORT, WAVES, pod_labels, selector
from rules.facts.region import Limits, Region
from rules.facts.values import seconds
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
    VirtualService,
    Workloads,
)
from stackfile.model import EchoConfig, RegionConfig, VersionConfig


def as_region(config: RegionConfig) -> Region:
    """Say what the components make of a configuration, without making it.

    The workloads have the sync waves that are rendered, also where Pulumi applies them, which does not look at waves. The settings
    are named by their path in the file, such as `echo.versions.v2.weight`, also where the file leaves them out.
    """
    file = config.model_dump(by_alias=True)
    limits, settings = Limits.of(file["rules"], file["echo"]), dict(_leaves(file, ""))
    return Region(config.region, config.delivery, _workloads(config.echo), limits, settings)


def _leaves(part: Mapping[str, object], above: str) -> Iterator[tuple[str, object]]:
    for key, value in part.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _workloads(echo: EchoConfig) -> Workloads:
    objects: tuple[Object, ...] = (
        *(_deployment(name, version) for name, version in echo.versions.items()),
        *(_budget(name) for name in echo.versions),
        Service(_id("Service"), {"app": ECHO}, (ServicePort("http", HTTP_PORT, "http"),)),
        _destination_rule(echo),
        _virtual_service(echo),
    )
    return Workloads.of(objects, others=[_id("ServiceAccount")])


def _id(kind: str, version: str | None = None) -> ObjectId:
    return ObjectId(kind, ECHO_NAMESPACE, f"{ECHO}-{version}" if version else ECHO)


def _deployment(name: str, version: VersionConfig) -> Deployment:
    return Deployment(
        _id("Deployment", name),
        replicas=version.replicas,
        selector=selector(name),
        labels=pod_labels(name),
        images=(version.image,),
        ports={"http": CONTAINER_PORT},
        unavailable=0,
    )


def _budget(name: str) -> Budget:
    return Budget(_id("PodDisruptionBudget", name), selector(name), max_unavailable=1)


def _destination_rule(echo: EchoConfig) -> DestinationRule:
    detection = OutlierDetection(
        consecutive_5xx_errors=echo.outlier_detection.consecutive_5xx_errors,
        interval_seconds=seconds(echo.outlier_detection.interval),
        base_ejection_seconds=seconds(echo.outlier_detection.base_ejection_time),
        max_ejection_percent=echo.max_ejection_percent,
    )
    subsets = tuple(Subset(name, {"version": name}) for name in echo.versions)
    return DestinationRule(_id("DestinationRule"), ECHO_HOST, subsets, detection, wave=WAVES["DestinationRule"])


def _virtual_service(echo: EchoConfig) -> VirtualService:
    route = tuple(Destination(ECHO_HOST, name, HTTP_PORT, version.weight) for name, version in echo.versions.items())
    return VirtualService(_id("VirtualService"), (ECHO_HOST,), (route,), wave=WAVES["VirtualService"])
