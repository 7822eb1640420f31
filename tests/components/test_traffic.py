"""A route to a subset that the DestinationRule does not have answers 503 for its whole share, and nothing else complains.

The values are those of the lab text, and both objects are made of the same typed versions.
"""

from typing import Any

from components.namespace import ServiceNamespace
from components.traffic import TrafficPolicy
from stackfile.model import ConnectionPoolConfig, OutlierDetectionConfig, ServiceConfig, VersionConfig
from tests.components.graph import Graph, record_component

HOST = "echo.echo.svc.cluster.local"


def policy(echo: ServiceConfig) -> Graph:
    return record_component(lambda: TrafficPolicy("echo", echo))


def versions(**weights: int) -> dict[str, VersionConfig]:
    return {name: VersionConfig(image="echo:1.0.0", replicas=1, weight=weight) for name, weight in weights.items()}


def outlier_detection(graph: Graph) -> dict[str, Any]:
    return dict(graph.the("DestinationRule", "echo").inputs["spec"]["trafficPolicy"]["outlierDetection"])


def routes(graph: Graph) -> dict[str, float]:
    (http,) = graph.the("VirtualService", "echo").inputs["spec"]["http"]
    return {route["destination"]["subset"]: route["weight"] for route in http["route"]}


def test_destination_rule_is_the_lab_texts_with_the_ejection_percent_added(graph: Graph) -> None:
    rule = graph.the("DestinationRule", "echo")
    assert (rule.type, rule.metadata["name"]) == ("kubernetes:networking.istio.io/v1:DestinationRule", "echo")
    assert rule.inputs["spec"] == {
        "host": HOST,
        "trafficPolicy": {
            "connectionPool": {
                "http": {"http1MaxPendingRequests": 1000, "maxRequestsPerConnection": 100},
                "tcp": {"maxConnections": 1000},
            },
            "outlierDetection": {
                "consecutive5xxErrors": 10,
                "interval": "5s",
                "baseEjectionTime": "30s",
                "maxEjectionPercent": 34,
            },
        },
        "subsets": [
            {"name": "v1", "labels": {"version": "v1"}},
            {"name": "v2", "labels": {"version": "v2"}},
        ],
    }


def test_virtual_service_is_the_lab_texts(graph: Graph) -> None:
    service = graph.the("VirtualService", "echo")
    assert (service.type, service.metadata["name"]) == ("kubernetes:networking.istio.io/v1:VirtualService", "echo")
    assert service.inputs["spec"] == {
        "hosts": [HOST],
        "http": [
            {
                "route": [
                    {"destination": {"host": HOST, "subset": "v1", "port": {"number": 80}}, "weight": 90},
                    {"destination": {"host": HOST, "subset": "v2", "port": {"number": 80}}, "weight": 10},
                ]
            }
        ],
    }


def test_mutual_tls_is_strict_in_the_whole_namespace() -> None:
    graph = record_component(lambda: ServiceNamespace("echo"))
    authentication = graph.the("PeerAuthentication", "echo-mutual-tls")
    assert (authentication.metadata["name"], authentication.metadata["namespace"]) == ("default", "echo")
    assert authentication.inputs["spec"] == {"mtls": {"mode": "STRICT"}}


def test_one_bad_pod_of_three_may_be_ejected(graph: Graph) -> None:
    replicas = graph.the("Deployment", "echo-v1").inputs["spec"]["replicas"]
    assert outlier_detection(graph)["maxEjectionPercent"] * replicas >= 100


def test_an_ejection_percent_that_is_not_set_is_left_to_envoy() -> None:
    assert "maxEjectionPercent" not in outlier_detection(policy(ServiceConfig(versions=versions(v1=100))))


def test_every_route_leads_to_a_subset_of_the_rule() -> None:
    graph = policy(ServiceConfig(versions=versions(v1=20, v2=30, v3=50)))
    subsets = [subset["name"] for subset in graph.the("DestinationRule", "echo").inputs["spec"]["subsets"]]
    assert list(routes(graph)) == subsets == ["v1", "v2", "v3"]


def test_a_version_of_weight_0_keeps_its_place_in_the_route() -> None:
    assert routes(policy(ServiceConfig(versions=versions(v1=100, v2=0)))) == {"v1": 100, "v2": 0}


def test_limits_of_the_stack_file_are_the_rules() -> None:
    echo = ServiceConfig(
        versions=versions(v1=100),
        connection_pool=ConnectionPoolConfig(
            http1_max_pending_requests=1, max_requests_per_connection=2, max_connections=3
        ),
        outlier_detection=OutlierDetectionConfig(consecutive_5xx_errors=4, interval="1s", base_ejection_time="1m"),
    )
    graph = policy(echo)
    assert graph.the("DestinationRule", "echo").inputs["spec"]["trafficPolicy"]["connectionPool"] == {
        "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 2},
        "tcp": {"maxConnections": 3},
    }
    assert outlier_detection(graph) == {"consecutive5xxErrors": 4, "interval": "1s", "baseEjectionTime": "1m"}


def test_the_route_comes_after_the_subsets() -> None:
    graph = policy(ServiceConfig(versions=versions(v1=100)))
    assert graph.waits_for(graph.the("VirtualService", "echo"), graph.the("DestinationRule", "echo"))
