from __future__ import annotations

from dataclasses import replace

import pytest

from rules.facts.region import Region
from rules.facts.workloads import ObjectId
from tests.rules import altered, good

HOST = good.HOST
ROUTES = "VirtualService echo/echo: spec"


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (
            altered.each(good.region(), "destination_rules", host="echo"),
            "DestinationRule echo/echo: spec.host: echo is short for echo.echo.svc.<domain>",
        ),
        (
            altered.each(good.region(), "virtual_services", hosts=("echo.echo.svc",)),
            f"{ROUTES}.hosts[0]: echo.echo.svc is short for echo.echo.svc.<domain>",
        ),
        (
            altered.destination(good.region(), 1, host="echo.echo"),
            f"{ROUTES}.http[0].route[1].destination.host: echo.echo is short for echo.echo.svc.<domain>",
        ),
        (
            altered.destination(good.region(), 1, host="echo.other.svc.cluster.local"),
            f"{ROUTES}.http[0].route[1].destination.host: echo.other.svc.cluster.local is the name of no Service here",
        ),
        (
            altered.each(good.region(), "virtual_services", hosts=("*",)),
            f"{ROUTES}.hosts[0]: * is the name of no Service here",
        ),
        (
            altered.each(good.region(), "virtual_services", hosts=("echo.echo.svc.corp.local",)),
            f"{ROUTES}.hosts[0]: echo.echo.svc.corp.local is not in the domain of {HOST}",
        ),
        (
            altered.each(good.region(), "virtual_services", hosts=(HOST, "echoes")),
            f"{ROUTES}.hosts[1]: echoes is the name of no Service here",
        ),
    ],
)
def test_another_name_than_the_services_full_one_is_refused(bad: Region, text: str) -> None:
    assert altered.texts("host-is-full-name", bad) == [text]


class TestHostsOfAGateway:
    ID = "host-is-full-name"

    def hosts(self, *hosts: str, gateway: str | None = good.GATEWAY) -> list[str]:
        bound = good.region(gateway=good.GATEWAY)
        gateways = ("mesh", gateway) if gateway else ("mesh",)
        (routes,) = bound.workloads.virtual_services
        changed = replace(routes, hosts=hosts, gateways=gateways)
        return altered.texts(self.ID, altered.workloads(bound, virtual_services=(changed,)))

    def test_come_after_the_services_name(self) -> None:
        assert self.hosts(HOST, good.OUTSIDE, "www.corp.local") == []
        assert self.hosts(good.OUTSIDE, HOST) == [f"{ROUTES}.hosts[0]: {good.OUTSIDE} is the name of no Service here"]

    def test_are_no_names_of_the_mesh_alone(self) -> None:
        assert self.hosts(HOST, good.OUTSIDE, gateway=None) == [
            f"{ROUTES}.hosts[1]: {good.OUTSIDE} is the name of no Service here"
        ]

    @pytest.mark.parametrize("host", ["shop", "*"])
    def test_are_full_names(self, host: str) -> None:
        assert self.hosts(HOST, host) == [f"{ROUTES}.hosts[1]: {host} is the name of no Service here"]

    def test_may_not_be_a_short_name_of_the_service(self) -> None:
        assert self.hosts(HOST, "echo.echo") == [f"{ROUTES}.hosts[1]: echo.echo is short for echo.echo.svc.<domain>"]


@pytest.mark.parametrize(
    ("objects", "kind"), [("destination_rules", "DestinationRule"), ("virtual_services", "VirtualService")]
)
def test_what_is_in_another_namespace_than_the_service_is_refused(objects: str, kind: str) -> None:
    bad = altered.each(good.region(), objects, id=ObjectId(kind, "default", "echo"))

    assert altered.texts("traffic-beside-service", bad) == [
        f"{kind} default/echo: metadata.namespace: default is not that of Service echo/echo"
    ]


def test_without_the_service_no_host_is_its_name_unless_it_could_not_be_read() -> None:
    bad = altered.without(good.region(), "services", "echo")

    assert len(altered.texts("host-is-full-name", bad)) == 4
    assert altered.texts("host-is-full-name", altered.unread(bad, "Service")) == []
