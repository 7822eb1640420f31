"""Regions in which every rule holds; a test changes one thing in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rules.facts.region import Limits, Region
from rules.facts.workloads import (
    Budget,
    Delivery,
    Deployment,
    Destination,
    DestinationRule,
    ObjectId,
    OutlierDetection,
    Service,
    ServicePort,
    Subset,
    VirtualService,
    Workloads,
)

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
    images = {
        version: one.image or f"registry.corp.local/echo:{version.removeprefix('v')}.0.0"
        for version, one in wanted.items()
    }
    settings: dict[str, object] = {"region": name, "delivery": delivery, "istio.version": "1.31.1"}
    for version, one in wanted.items():
        settings |= {
            f"echo.versions.{version}.image": images[version],
            f"echo.versions.{version}.replicas": one.replicas,
            f"echo.versions.{version}.weight": one.weight,
        }
    return Region(name, delivery, workloads(wanted, images), limits, settings)


def workloads(wanted: Mapping[str, Wanted], images: Mapping[str, str]) -> Workloads:
    """The objects of these versions, as the program makes them."""
    deployments = tuple(
        Deployment(
            ObjectId("Deployment", "echo", f"echo-{version}"),
            replicas=one.replicas,
            selector=_labels(version),
            labels=_labels(version),
            images=(images[version],),
            ports={"http": 8080},
            unavailable=0,
        )
        for version, one in wanted.items()
    )
    budgets = tuple(
        Budget(ObjectId("PodDisruptionBudget", "echo", f"echo-{version}"), _labels(version), max_unavailable=1)
        for version in wanted
    )
    service = Service(ObjectId("Service", "echo", "echo"), {"app": "echo"}, (ServicePort("http", 80, "http"),))
    rule = DestinationRule(
        ObjectId("DestinationRule", "echo", "echo"),
        HOST,
        tuple(Subset(version, {"version": version}) for version in wanted),
        OutlierDetection(10, None, 5.0, 30.0, 34),
        wave=1,
    )
    routes = VirtualService(
        ObjectId("VirtualService", "echo", "echo"),
        (HOST,),
        (tuple(Destination(HOST, version, 80, one.weight) for version, one in wanted.items()),),
        wave=2,
    )
    account = ObjectId("ServiceAccount", "echo", "echo")
    return Workloads(
        deployments=deployments,
        services=(service,),
        destination_rules=(rule,),
        virtual_services=(routes,),
        budgets=budgets,
        ids=frozenset(
            {
                account,
                service.id,
                rule.id,
                routes.id,
                *(each.id for each in deployments),
                *(each.id for each in budgets),
            }
        ),
    )


def _labels(version: str) -> dict[str, str]:
    return {"app": "echo", "version": version}
