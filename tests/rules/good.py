"""Regions in which every rule holds; a test changes one thing in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from components.service import workload_objects
from rules.facts.manifests import read
from rules.facts.region import Limits, Region
from rules.facts.workloads import Delivery, Workloads
from stackfile.model import ConnectionPoolConfig, OutlierDetectionConfig, ServiceConfig, VersionConfig
from tests.stackfile.stack_values import MINIMAL, parse

_DEFAULT = Limits()
HOST = "echo.echo.svc.cluster.local"


@dataclass(frozen=True)
class Wanted:
    """A version as a stack file has it."""

    weight: int
    replicas: int = 3
    image: str = ""


def versions(**weights: int) -> dict[str, Wanted]:
    """Versions with three replicas each and an image of their own."""
    return {name: Wanted(weight) for name, weight in weights.items()}


def region(
    name: str = "region-a",
    wanted: Mapping[str, Wanted] | None = None,
    *,
    delivery: Delivery = "gitops",
    limits: Limits = _DEFAULT,
) -> Region:
    """A region with these versions; v1 with 90 % and v2 with 10 % where none are given."""
    wanted = versions(v1=90, v2=10) if wanted is None else wanted
    wanted = {
        version: replace(one, image=one.image or f"registry.corp.local/echo:{version.removeprefix('v')}.0.0")
        for version, one in wanted.items()
    }
    settings: dict[str, object] = {"region": name, "delivery": delivery, "istio.version": "1.31.1"}
    for version, one in wanted.items():
        settings |= {
            f"echo.versions.{version}.image": one.image,
            f"echo.versions.{version}.replicas": one.replicas,
            f"echo.versions.{version}.weight": one.weight,
        }
    return Region(name, delivery, _workloads(name, tuple(wanted.items())), limits, settings)


@cache
def _workloads(region: str, wanted: tuple[tuple[str, Wanted], ...]) -> Workloads:
    """The objects of these versions as the program renders them, also of what no stack file may say."""
    echo = ServiceConfig.model_construct(
        versions={
            name: VersionConfig.model_construct(image=one.image, replicas=one.replicas, weight=one.weight)
            for name, one in wanted
        },
        max_ejection_percent=34,
        connection_pool=ConnectionPoolConfig(),
        outlier_detection=OutlierDetectionConfig(),
    )
    return read(workload_objects(parse(MINIMAL).model_copy(update={"region": region, "echo": echo})))
