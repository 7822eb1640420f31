"""A route to a subset that the DestinationRule does not have answers 503 for its whole share, and nothing else complains.

The values are those of the lab text, and both objects are made of the same typed versions.
"""

from typing import Any

from components.namespace import ServiceNamespace
from components.traffic import TrafficPolicy, TrafficPolicyArgs
from stackfile.model import ServiceConfig
from tests.components.graph import Graph, record_component
from tests.stackfile.stack_values import MINIMAL, parse

HOST = "echo.echo.svc.cluster.local"


def policy(*, gateway: str | None = None, **changed: object) -> Graph:
    """The traffic of echo with something else in what a stack file says of it."""
    service = echo(**changed)
    return record_component(lambda: TrafficPolicy("echo", TrafficPolicyArgs(service, gateway)))


def echo(**changed: object) -> ServiceConfig:
    services = {"echo": {**MINIMAL["services"]["echo"], **changed}}
    return parse({**MINIMAL, "gateway": {}, "services": services}).services["echo"]


def versions(**weights: int) -> dict[str, dict[str, Any]]:
    return {name: {"image": "echo:1.0.0", "replicas": 1, "weight": weight} for name, weight in weights.items()}


def outlier_detection(graph: Graph) -> dict[str, Any]:
    return dict(graph.the("DestinationRule", "echo").inputs["spec"]["trafficPolicy"]["outlierDetection"])


def routes(graph: Graph) -> dict[str, float]:
    *_, http = graph.the("VirtualService", "echo").inputs["spec"]["http"]
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


def test_virtual_service_is_the_lab_texts_with_a_response_header_and_the_gateway_added(graph: Graph) -> None:
    service = graph.the("VirtualService", "echo")
    assert (service.type, service.metadata["name"]) == ("kubernetes:networking.istio.io/v1:VirtualService", "echo")
    assert service.inputs["spec"] == {
        "gateways": ["mesh", "istio-ingress/gateway"],
        "hosts": [HOST, "echo.corp.local"],
        "http": [
            {
                "route": [
                    {
                        "destination": {"host": HOST, "subset": "v1", "port": {"number": 80}},
                        "weight": 90,
                        "headers": {"response": {"set": {"x-rollout-version": "v1"}}},
                    },
                    {
                        "destination": {"host": HOST, "subset": "v2", "port": {"number": 80}},
                        "weight": 10,
                        "headers": {"response": {"set": {"x-rollout-version": "v2"}}},
                    },
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
    assert "maxEjectionPercent" not in outlier_detection(policy(versions=versions(v1=100)))


def test_every_route_leads_to_a_subset_of_the_rule() -> None:
    graph = policy(versions=versions(v1=20, v2=30, v3=50))
    subsets = [subset["name"] for subset in graph.the("DestinationRule", "echo").inputs["spec"]["subsets"]]
    assert list(routes(graph)) == subsets == ["v1", "v2", "v3"]


def test_a_version_of_weight_0_keeps_its_place_in_the_route() -> None:
    assert routes(policy(versions=versions(v1=100, v2=0))) == {"v1": 100, "v2": 0}


def test_limits_of_the_stack_file_are_the_rules() -> None:
    graph = policy(
        connectionPool={"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 2, "maxConnections": 3},
        outlierDetection={"consecutive5xxErrors": 4, "interval": "1s", "baseEjectionTime": "1m"},
    )
    assert graph.the("DestinationRule", "echo").inputs["spec"]["trafficPolicy"]["connectionPool"] == {
        "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 2},
        "tcp": {"maxConnections": 3},
    }
    assert outlier_detection(graph) == {"consecutive5xxErrors": 4, "interval": "1s", "baseEjectionTime": "1m"}


def test_the_route_comes_after_the_subsets() -> None:
    graph = policy(versions=versions(v1=100))
    assert graph.waits_for(graph.the("VirtualService", "echo"), graph.the("DestinationRule", "echo"))


# --- which version a request was sent to


def http(graph: Graph) -> list[dict[str, Any]]:
    return [dict(each) for each in graph.the("VirtualService", "echo").inputs["spec"]["http"]]


def answers(graph: Graph) -> list[dict[str, str] | None]:
    """What each destination of each route writes into its answers."""
    found = [each.get("headers", {}).get("response", {}).get("set") for route in http(graph) for each in route["route"]]
    assert found
    return found


def test_every_answer_names_the_version_in_the_header_that_the_stack_file_names() -> None:
    graph = policy(versionHeader="x-version", testers={"header": "x-ask"})
    # the routes of the testers, and the split
    assert answers(graph) == 2 * [{"x-version": "v1"}, {"x-version": "v2"}]


def test_no_answer_names_the_version_where_that_is_turned_off() -> None:
    assert answers(policy(versionHeader="")) == [None, None]


# --- testers


def test_testers_reach_the_version_that_they_ask_for_at_any_weight_and_others_are_split() -> None:
    graph = policy(versions=versions(v1=100, v2=0), testers={"header": "x-ask"})
    first, second, split = http(graph)
    for route, version in ((first, "v1"), (second, "v2")):
        (match,) = route["match"]
        (destination,) = route["route"]
        assert match["headers"] == {"x-ask": {"exact": version}}
        assert destination["destination"] == {"host": HOST, "subset": version, "port": {"number": 80}}
        assert "weight" not in destination
    assert "match" not in split
    assert routes(graph) == {"v1": 100, "v2": 0}


def test_nobody_outside_the_mesh_can_ask_for_a_version() -> None:
    graph = policy(testers={"header": "x-ask"}, gateway="istio-ingress/gateway", hosts=["echo.corp.local"])
    *testers, _ = http(graph)
    assert [match["gateways"] for route in testers for match in route["match"]] == [["mesh"], ["mesh"]]


def test_a_version_that_testers_may_not_ask_for_has_no_route_of_its_own() -> None:
    given = versions(v1=100, v2=0)
    given["v2"]["testers"] = False
    testers, split = http(policy(versions=given, testers={"header": "x-ask"}))
    assert testers["match"][0]["headers"] == {"x-ask": {"exact": "v1"}}
    assert len(split["route"]) == 2


# --- where clients ask


def test_the_routes_are_of_the_services_own_host_and_port() -> None:
    services = {"shop": {**MINIMAL["services"]["echo"], "namespace": "market", "port": 8000}}
    service = parse({**MINIMAL, "services": services}).services["shop"]
    graph = record_component(lambda: TrafficPolicy("shop", TrafficPolicyArgs(service)))
    rule, routing = graph.the("DestinationRule", "shop"), graph.the("VirtualService", "shop")
    host = "shop.market.svc.cluster.local"
    assert [node.metadata["namespace"] for node in (rule, routing)] == ["market", "market"]
    assert (rule.inputs["spec"]["host"], routing.inputs["spec"]["hosts"]) == (host, [host])
    (split,) = routing.inputs["spec"]["http"]
    destinations = [each["destination"] for each in split["route"]]
    assert {(each["host"], each["port"]["number"]) for each in destinations} == {(host, 8000)}


def test_through_a_gateway_the_same_routes_are_of_the_hosts_of_the_stack_file_too() -> None:
    inside = policy(hosts=["echo.corp.local"]).the("VirtualService", "echo").inputs["spec"]
    outside = (
        policy(hosts=["echo.corp.local"], gateway="istio-ingress/gateway").the("VirtualService", "echo").inputs["spec"]
    )
    assert (inside["hosts"], inside.get("gateways")) == ([HOST], None)
    assert (outside["hosts"], outside["gateways"]) == ([HOST, "echo.corp.local"], ["mesh", "istio-ingress/gateway"])
    assert inside["http"] == outside["http"]
