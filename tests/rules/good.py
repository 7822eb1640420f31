"""Regions in which every rule holds; a test changes one thing in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from components.service import ServiceDeploymentsArgs, deployment_objects
from components.traffic import TrafficPolicyArgs, traffic_objects
from rules.facts.manifests import read
from rules.facts.region import Limits, Region
from rules.facts.workloads import Delivery, Workloads
from stackfile.model import DrainConfig, ServiceConfig, TestersConfig, VersionConfig

_DEFAULT = Limits()
HOST = "echo.echo.svc.cluster.local"
OUTSIDE = "echo.corp.local"
"""The name by which clients of a gateway ask for a service."""
GATEWAY = "istio-ingress/gateway"
HEADER = "x-echo-version"
"""The header by which testers ask for a version."""


@dataclass(frozen=True)
class Wanted:
    """A version as a stack file has it; `testers`: they may ask for it."""

    weight: int
    replicas: int = 3
    image: str = ""
    testers: bool = False


def versions(**weights: int) -> dict[str, Wanted]:
    """Versions with three replicas each and an image of their own."""
    return {name: Wanted(weight) for name, weight in weights.items()}


def region(
    name: str = "region-a",
    wanted: Mapping[str, Wanted] | None = None,
    *,
    service: str = "echo",
    namespace: str | None = None,
    delivery: Delivery = "gitops",
    limits: Limits = _DEFAULT,
    gateway: str | None = None,
    sleep_seconds: int = 0,
    mounts: bool = False,
) -> Region:
    """A region, as one of its services sees it, with these versions; v1 with 90 % and v2 with 10 % where none are given.

    It is in a namespace of its own name where none is given. Clients outside the mesh ask for it at the `gateway`, by the name
    `OUTSIDE`. The kubelet waits for the `sleep_seconds` before it tells a container that it is to end. With `mounts` there are
    a ConfigMap, a Secret and a folder to write to.
    """
    wanted = versions(v1=90, v2=10) if wanted is None else wanted
    wanted = {
        version: replace(one, image=one.image or f"registry.corp.local/{service}:{version.removeprefix('v')}.0.0")
        for version, one in wanted.items()
    }
    settings: dict[str, object] = {"region": name, "delivery": delivery, "istio.version": "1.31.1"}
    for version, one in wanted.items():
        settings |= {
            f"services.{service}.versions.{version}.image": one.image,
            f"services.{service}.versions.{version}.replicas": one.replicas,
            f"services.{service}.versions.{version}.weight": one.weight,
        }
    workloads = _workloads(
        name,
        service,
        tuple(wanted.items()),
        namespace=namespace,
        gateway=gateway,
        sleep_seconds=sleep_seconds,
        mounts=mounts,
    )
    return Region(name, service, delivery, workloads, limits, settings)


@cache
def _workloads(
    region: str,
    name: str,
    wanted: tuple[tuple[str, Wanted], ...],
    *,
    namespace: str | None,
    gateway: str | None,
    sleep_seconds: int,
    mounts: bool,
) -> Workloads:
    """The objects of these versions as the program renders them, also of what no stack file may say."""
    service = ServiceConfig.model_construct(
        versions={
            version: VersionConfig.model_construct(
                image=one.image,
                replicas=one.replicas,
                weight=one.weight,
                testers=one.testers,
                config_maps={"/etc/settings": f"{name}-{version}"} if mounts else {},
                secrets={"/etc/key": f"{name}-{version}"} if mounts else {},
            )
            for version, one in wanted
        },
        max_ejection_percent=34,
        own_namespace=namespace,
        hosts=(OUTSIDE,),
        writable=("/tmp",) if mounts else (),
        testers=TestersConfig(header=HEADER) if any(one.testers for _, one in wanted) else None,
        drain=DrainConfig(by="sleep", seconds=sleep_seconds) if sleep_seconds else DrainConfig(),
    )
    service._name = name
    return read(
        each.rendered()
        for each in (
            *deployment_objects(ServiceDeploymentsArgs(region, service)),
            *traffic_objects(TrafficPolicyArgs(service, gateway)),
        )
    )
