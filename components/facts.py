"""A stack's configuration as the facts that the rules look at. Pure: without Pulumi, cluster or files."""

import re
from collections.abc import Iterator, Mapping

from components.names import CONTAINER_PORT, ECHO, ECHO_HOST, ECHO_NAMESPACE, HTTP_PORT, WAVES, pod_labels, selector
from rules.facts.region import Limits, Region
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

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}


def as_region(config: RegionConfig) -> Region:
    """Say what the components make of a configuration, without making it.

    The workloads have the sync waves that are rendered, also where Pulumi applies them, which does not look at waves.
    """
    return Region(config.region, config.delivery, _workloads(config.echo), _limits(config), _settings(config))


def _limits(config: RegionConfig) -> Limits:
    rules, echo = config.rules, config.echo
    return Limits(
        largest_increase=rules.largest_increase,
        introduce_together=rules.introduce_together,
        immutable_tags=rules.immutable_tags,
        may_differ=rules.may_differ,
        waived=rules.waived,
        pods_for_all_traffic=echo.pods_for_all_traffic,
        stable=echo.stable,
    )


def _settings(config: RegionConfig) -> dict[str, object]:
    """Name every setting by its path in the file, such as `echo.versions.v2.weight`, also where the file leaves it out."""
    return dict(_leaves(config.model_dump(by_alias=True), ""))


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
        interval_seconds=_seconds(echo.outlier_detection.interval),
        base_ejection_seconds=_seconds(echo.outlier_detection.base_ejection_time),
        max_ejection_percent=echo.max_ejection_percent,
    )
    subsets = tuple(Subset(name, {"version": name}) for name in echo.versions)
    return DestinationRule(_id("DestinationRule"), ECHO_HOST, subsets, detection, wave=WAVES["DestinationRule"])


def _seconds(duration: str) -> float:
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)(ms|[hms])", duration))


def _virtual_service(echo: EchoConfig) -> VirtualService:
    route = tuple(Destination(ECHO_HOST, name, HTTP_PORT, version.weight) for name, version in echo.versions.items())
    return VirtualService(_id("VirtualService"), (ECHO_HOST,), (route,), wave=WAVES["VirtualService"])
