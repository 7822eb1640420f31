"""What the generated classes put on the wire: type tokens, keys and values as the API server expects them."""

import asyncio
import contextvars
import importlib.metadata
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.proto import resource_pb2
from pulumi_kubernetes_istio.meta import v1 as istio_meta
from pulumi_kubernetes_istio.networking import v1 as networking
from pulumi_kubernetes_istio.security import v1 as security
from pulumi_kubernetes_istio.telemetry import v1 as telemetry

HOST = "echo.echo.svc.cluster.local"


@dataclass(frozen=True)
class Registration:
    type: str
    version: str
    inputs: dict[str, Any]


class _Unused(Mocks):
    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"a resource needs no call, but {args.token} was called")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        return f"{args.name}-id", dict(args.inputs)


class _Recorder(MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Unused())
        self.registrations: list[Registration] = []

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802 - the protocol's name
        if request.custom:
            inputs = rpc.deserialize_properties(request.object)
            self.registrations.append(Registration(request.type, request.version, inputs))
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def registered(build: Callable[[], pulumi.CustomResource]) -> Registration:
    """Build one resource under Pulumi's mocks, in a context of its own, and return what the monitor was sent."""

    def run() -> Registration:
        recorder = _Recorder()
        asyncio.set_event_loop(asyncio.new_event_loop())  # Pulumi takes the thread's, which another test may have closed
        pulumi.runtime.set_mocks(_Unused(), monitor=recorder)
        pulumi.runtime.test(lambda: build().urn)()  # type: ignore[no-untyped-call]
        (registration,) = recorder.registrations
        return registration

    return contextvars.Context().run(run)


def destination_rule() -> networking.DestinationRule:
    return networking.DestinationRule(
        "echo",
        metadata=kubernetes.meta.v1.ObjectMetaArgs(name="echo", namespace="echo"),
        spec=networking.DestinationRuleSpecArgs(
            host=HOST,
            traffic_policy=networking.DestinationRuleSpecTrafficPolicyArgs(
                connection_pool=networking.DestinationRuleSpecTrafficPolicyConnectionPoolArgs(
                    http=networking.DestinationRuleSpecTrafficPolicyConnectionPoolHttpArgs(
                        http1_max_pending_requests=1000, max_requests_per_connection=100
                    ),
                    tcp=networking.DestinationRuleSpecTrafficPolicyConnectionPoolTcpArgs(max_connections=1000),
                ),
                outlier_detection=networking.DestinationRuleSpecTrafficPolicyOutlierDetectionArgs(
                    consecutive5xx_errors=10, interval="5s", base_ejection_time="30s"
                ),
            ),
            subsets=[
                networking.DestinationRuleSpecSubsetsArgs(name=version, labels={"version": version})
                for version in ("v1", "v2")
            ],
        ),
    )


def virtual_service() -> networking.VirtualService:
    return networking.VirtualService(
        "echo",
        metadata=kubernetes.meta.v1.ObjectMetaArgs(name="echo", namespace="echo"),
        spec=networking.VirtualServiceSpecArgs(
            hosts=[HOST],
            http=[
                networking.VirtualServiceSpecHttpArgs(
                    route=[
                        networking.VirtualServiceSpecHttpRouteArgs(
                            destination=networking.VirtualServiceSpecHttpRouteDestinationArgs(
                                host=HOST,
                                subset=subset,
                                port=networking.VirtualServiceSpecHttpRouteDestinationPortArgs(number=80),
                            ),
                            weight=weight,
                        )
                        for subset, weight in (("v1", 90), ("v2", 10))
                    ]
                )
            ],
        ),
    )


def test_destination_rule_of_the_lab_text_has_its_exact_wire_form() -> None:
    assert registered(destination_rule) == Registration(
        type="kubernetes:networking.istio.io/v1:DestinationRule",
        version=importlib.metadata.version("pulumi_kubernetes"),
        inputs={
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": "echo", "namespace": "echo"},
            "spec": {
                "host": HOST,
                "trafficPolicy": {
                    "connectionPool": {
                        "http": {"http1MaxPendingRequests": 1000, "maxRequestsPerConnection": 100},
                        "tcp": {"maxConnections": 1000},
                    },
                    "outlierDetection": {"consecutive5xxErrors": 10, "interval": "5s", "baseEjectionTime": "30s"},
                },
                "subsets": [
                    {"name": "v1", "labels": {"version": "v1"}},
                    {"name": "v2", "labels": {"version": "v2"}},
                ],
            },
        },
    )


def test_virtual_service_of_the_lab_text_has_its_exact_wire_form() -> None:
    def destination(subset: str) -> dict[str, Any]:
        return {"host": HOST, "subset": subset, "port": {"number": 80}}

    assert registered(virtual_service) == Registration(
        type="kubernetes:networking.istio.io/v1:VirtualService",
        version=importlib.metadata.version("pulumi_kubernetes"),
        inputs={
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "echo", "namespace": "echo"},
            "spec": {
                "hosts": [HOST],
                "http": [
                    {
                        "route": [
                            {"destination": destination("v1"), "weight": 90},
                            {"destination": destination("v2"), "weight": 10},
                        ]
                    }
                ],
            },
        },
    )


def test_metadata_is_the_kubernetes_package_s_own_class() -> None:
    assert istio_meta.ObjectMetaArgs is kubernetes.meta.v1.ObjectMetaArgs
    assert istio_meta.outputs.ObjectMeta is kubernetes.meta.v1.outputs.ObjectMeta


def test_labels_and_annotations_keep_the_case_of_their_keys() -> None:
    labels = {"app.kubernetes.io/name": "echo", "camelCase": "kept"}
    annotations = {"pulumi.com/skipAwait": "true", "snake_case": "kept"}
    sent = registered(
        lambda: networking.VirtualService(
            "echo",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name="echo", labels=labels, annotations=annotations),
        )
    )
    assert sent.inputs["metadata"] == {"name": "echo", "labels": labels, "annotations": annotations}


def test_a_field_that_is_a_python_keyword_goes_out_under_its_own_name() -> None:
    rule = security.AuthorizationPolicySpecRulesArgs(
        from_=[
            security.AuthorizationPolicySpecRulesFromArgs(
                source=security.AuthorizationPolicySpecRulesFromSourceArgs(namespaces=["echo-probe"])
            )
        ]
    )
    sent = registered(
        lambda: security.AuthorizationPolicy("echo", spec=security.AuthorizationPolicySpecArgs(rules=[rule]))
    )
    assert sent.inputs["spec"] == {"rules": [{"from": [{"source": {"namespaces": ["echo-probe"]}}]}]}


def test_peer_authentication_is_there_for_the_mesh() -> None:
    spec = security.PeerAuthenticationSpecArgs(mtls=security.PeerAuthenticationSpecMtlsArgs(mode="STRICT"))
    sent = registered(lambda: security.PeerAuthentication("default", spec=spec))
    assert (sent.type, sent.inputs["spec"]) == (
        "kubernetes:security.istio.io/v1:PeerAuthentication",
        {"mtls": {"mode": "STRICT"}},
    )


def test_every_kind_that_istio_serves_as_v1_is_there() -> None:
    assert {
        module.__name__.split(".")[1]: {
            name
            for name, member in inspect.getmembers(module, inspect.isclass)
            if issubclass(member, pulumi.CustomResource)
        }
        for module in (networking, security, telemetry)
    } == {
        "networking": {
            "DestinationRule",
            "Gateway",
            "ServiceEntry",
            "Sidecar",
            "VirtualService",
            "WorkloadEntry",
            "WorkloadGroup",
        },
        "security": {"AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"},
        "telemetry": {"Telemetry"},
    }


def test_a_field_with_a_deprecated_alias_goes_out_in_camel_case() -> None:
    route = networking.VirtualServiceSpecHttpArgs(mirror_percent=5)
    sent = registered(lambda: networking.VirtualService("echo", spec=networking.VirtualServiceSpecArgs(http=[route])))
    assert sent.inputs["spec"] == {"http": [{"mirrorPercent": 5}]}


def test_outputs_are_typed_objects_with_pythonic_names() -> None:
    seen: list[networking.outputs.DestinationRuleSpec | None] = []

    def build() -> networking.DestinationRule:
        rule = destination_rule()
        rule.spec.apply(seen.append)
        return rule

    registered(build)
    (spec,) = seen
    assert spec is not None
    assert isinstance(spec.traffic_policy, networking.outputs.DestinationRuleSpecTrafficPolicy)
