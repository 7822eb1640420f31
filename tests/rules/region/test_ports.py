from __future__ import annotations

import pytest

from rules.facts.region import Region
from rules.facts.workloads import ServicePort
from tests.rules import altered, good

DESTINATION = "VirtualService echo/echo: spec.http[0].route[1].destination.port"
PORT = "Service echo/echo: spec.ports[0]"
TWO_PORTS = (ServicePort("http", 80, "http"), ServicePort("http-admin", 81, "http"))


class TestRoutedPorts:
    def test_one_that_the_service_has_not_is_refused(self) -> None:
        assert altered.texts("routed-port-exists", altered.destination(good.region(), 1, port=8080)) == [
            f"{DESTINATION}.number: 8080 is not on Service echo/echo, which has 80"
        ]

    def test_none_is_refused_where_the_service_has_two(self) -> None:
        two = altered.each(good.region(), "services", ports=TWO_PORTS)

        assert altered.texts("routed-port-exists", altered.destination(two, 1, port=None)) == [
            f"{DESTINATION}: is missing, and Service echo/echo has not one port but 80, 81"
        ]

    def test_none_is_fine_where_the_service_has_one(self) -> None:
        assert altered.texts("routed-port-exists", altered.destination(good.region(), 1, port=None)) == []


class TestTargetPorts:
    def test_a_name_that_one_deployment_has_not_is_refused(self) -> None:
        bad = altered.each(good.region(), "deployments", "echo-v2", ports={"web": 8080})

        assert altered.texts("target-port-exists", bad) == [
            f"{PORT}.targetPort: http is not on the containers of Deployment echo/echo-v2, which have web (8080)"
        ]

    def test_a_number_that_no_container_has_is_refused(self) -> None:
        assert len(altered.texts("target-port-exists", altered.port(good.region(), target=80))) == 2

    def test_a_name_is_refused_where_no_port_has_one(self) -> None:
        assert altered.texts("target-port-exists", altered.each(good.region(), "deployments", "echo-v1", ports={})) == [
            f"{PORT}.targetPort: http is not on the containers of Deployment echo/echo-v1, which have no named port"
        ]

    def test_a_number_is_fine_where_a_container_has_it_or_declares_none(self) -> None:
        numbered = altered.port(good.region(), target=8080)

        assert altered.texts("target-port-exists", numbered) == []
        assert altered.texts("target-port-exists", altered.each(numbered, "deployments", ports={})) == []

    def test_pods_that_the_service_does_not_select_need_none(self) -> None:
        other = altered.each(good.region(), "deployments", "echo-v2", labels={"app": "other"}, ports={})

        assert altered.texts("target-port-exists", other) == []


class TestProtocols:
    @pytest.mark.parametrize("name", ["", "web", "tcp", "https", "tls-echo", "httpx"])
    def test_a_name_without_http_is_refused(self, name: str) -> None:
        assert altered.texts("port-names-protocol", altered.port(good.region(), name=name)) == [
            f'{PORT}.name: "{name}" does not begin with a protocol of HTTP requests'
        ]

    def test_app_protocol_goes_before_the_name(self) -> None:
        assert altered.texts("port-names-protocol", altered.port(good.region(), app_protocol="tcp")) == [
            f"{PORT}.appProtocol: tcp is no protocol of HTTP requests"
        ]

    @pytest.mark.parametrize(
        "safe",
        [
            *(altered.port(good.region(), name=name) for name in ("http-echo", "http2", "grpc-echo", "grpc-web")),
            *(
                altered.port(good.region(), name="web", app_protocol=protocol)
                for protocol in ("http", "HTTP2", "kubernetes.io/h2c")
            ),
        ],
    )
    def test_those_that_istio_takes_for_http_are_fine(self, safe: Region) -> None:
        assert altered.texts("port-names-protocol", safe) == []
