"""How clients reach a service: which share goes to which version, how testers reach one, and how clients treat the pods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes_istio.networking import v1 as networking

from components.names import TESTERS, address, gateway_reference, recommended_labels
from components.rendering import Typed
from rules.facts.versions import by_number
from rules.facts.workloads import MESH
from stackfile.model import ConnectionPoolConfig, RegionConfig, ServiceConfig


@dataclass(frozen=True)
class TrafficPolicyArgs:
    """The traffic of a service; `gateway` is the ingress gateway that its hosts are asked at, as `namespace/name`."""

    service: ServiceConfig
    gateway: str | None = None

    @classmethod
    def of(cls, config: RegionConfig, service: ServiceConfig) -> TrafficPolicyArgs:
        """What a stack file says of it."""
        gateway = config.gateway if service.hosts else None
        return cls(service, gateway_reference(gateway.namespace) if gateway else None)


class TrafficPolicy(pulumi.ComponentResource):
    """A DestinationRule with one subset for each version, and the VirtualService that splits the requests between them.

    The VirtualService comes last and goes first: a route to a subset that is not there answers 503.
    """

    def __init__(self, name: str, args: TrafficPolicyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:traffic:TrafficPolicy", name, None, opts)
        rule, routes = traffic_objects(args)
        before = rule.register(pulumi.ResourceOptions(parent=self))
        routes.register(pulumi.ResourceOptions(parent=self, depends_on=[before]))
        self.register_outputs({})


def traffic_objects(args: TrafficPolicyArgs) -> tuple[Typed, Typed]:
    """The objects of `TrafficPolicy` in the order in which they come."""
    service = args.service
    name = service.name
    metadata = meta.ObjectMetaArgs(
        name=name, namespace=service.namespace, labels=recommended_labels(name, name, "traffic")
    )
    rule = networking.DestinationRuleArgs(metadata=metadata, spec=_destination_rule(service))
    routes = networking.VirtualServiceArgs(metadata=metadata, spec=_virtual_service(args))
    return Typed(networking.DestinationRule, name, rule), Typed(networking.VirtualService, name, routes)


def _destination_rule(service: ServiceConfig) -> networking.DestinationRuleSpecArgs:
    return networking.DestinationRuleSpecArgs(
        host=address(service).host,
        traffic_policy=networking.DestinationRuleSpecTrafficPolicyArgs(
            connection_pool=_connection_pool(service.connection_pool), outlier_detection=_outlier_detection(service)
        ),
        subsets=[
            networking.DestinationRuleSpecSubsetsArgs(name=version, labels={"version": version})
            for version in service.versions
        ],
    )


def _connection_pool(pool: ConnectionPoolConfig) -> networking.DestinationRuleSpecTrafficPolicyConnectionPoolArgs:
    return networking.DestinationRuleSpecTrafficPolicyConnectionPoolArgs(
        http=networking.DestinationRuleSpecTrafficPolicyConnectionPoolHttpArgs(
            http1_max_pending_requests=pool.http1_max_pending_requests,
            max_requests_per_connection=pool.max_requests_per_connection,
        ),
        tcp=networking.DestinationRuleSpecTrafficPolicyConnectionPoolTcpArgs(max_connections=pool.max_connections),
    )


def _outlier_detection(service: ServiceConfig) -> networking.DestinationRuleSpecTrafficPolicyOutlierDetectionArgs:
    return networking.DestinationRuleSpecTrafficPolicyOutlierDetectionArgs(
        consecutive5xx_errors=service.outlier_detection.consecutive_5xx_errors,
        interval=service.outlier_detection.interval,
        base_ejection_time=service.outlier_detection.base_ejection_time,
        max_ejection_percent=service.max_ejection_percent,
    )


def _virtual_service(args: TrafficPolicyArgs) -> networking.VirtualServiceSpecArgs:
    """Route by weight; a version of weight 0 stays in the list, so that a later change of its weight is that and no more."""
    service = args.service
    return networking.VirtualServiceSpecArgs(
        gateways=[MESH, args.gateway] if args.gateway else None,
        hosts=[address(service).host, *(service.hosts if args.gateway else ())],
        http=[
            *_for_testers(service),
            networking.VirtualServiceSpecHttpArgs(
                route=[
                    networking.VirtualServiceSpecHttpRouteArgs(
                        destination=_destination(service, version),
                        weight=config.weight,
                        headers=_answer(service, version),
                    )
                    for version, config in service.versions.items()
                ]
            ),
        ],
    )


def _for_testers(service: ServiceConfig) -> list[networking.VirtualServiceSpecHttpArgs]:
    """A route for each version that testers may ask for; inside the mesh alone: the header would show it to anybody outside."""
    if service.testers is None:
        return []
    header = service.testers.header
    return [
        _for_tester(service, version, {header: version}, gateways=[MESH])
        for version, config in service.versions.items()
        if config.testers
    ]


def _for_tester(
    service: ServiceConfig,
    version: str,
    shown: Mapping[str, pulumi.Input[str]],
    *,
    gateways: list[str] | None = None,
    removed: str | None = None,
) -> networking.VirtualServiceSpecHttpArgs:
    """The route to a version for requests that show these headers, of which one may be removed before they are sent on."""
    exact = networking.VirtualServiceSpecHttpMatchHeadersArgs
    request = networking.VirtualServiceSpecHttpHeadersRequestArgs(remove=[removed]) if removed else None
    return networking.VirtualServiceSpecHttpArgs(
        name=f"testers-{version}",
        match=[
            networking.VirtualServiceSpecHttpMatchArgs(
                gateways=gateways, headers={name: exact(exact=value) for name, value in shown.items()}
            )
        ],
        headers=networking.VirtualServiceSpecHttpHeadersArgs(request=request) if request else None,
        route=[
            networking.VirtualServiceSpecHttpRouteArgs(
                destination=_destination(service, version), headers=_answer(service, version)
            )
        ],
    )


def testers_at_gateway(service: ServiceConfig, namespace: str, secret: pulumi.Input[str]) -> Typed:
    """The VirtualService by which testers outside the mesh ask for a version, with a secret beside its name.

    Args:
        service: The service, with `testers`.
        namespace: The gateway's, where it is: Pulumi applies it, since what is secret is in no commit.
        secret: What the header <header>-secret must hold. The gateway takes it out before it sends the request on.
    """
    assert service.testers
    header = service.testers.header
    proof = f"{header}-secret"
    spec = networking.VirtualServiceSpecArgs(
        gateways=[gateway_reference(namespace)],
        hosts=list(service.hosts),
        # Istio asks these before the split, which takes any request, whichever of the two VirtualServices is older
        # (SortVHostRoutes in Istio's pilot/pkg/networking/core/route/route.go)
        http=[
            _for_tester(service, version, {header: version, proof: secret}, removed=proof)
            for version in sorted(service.for_testers, key=by_number)
        ],
    )
    metadata = meta.ObjectMetaArgs(
        name=f"{service.name}-{TESTERS}",
        namespace=namespace,
        labels=recommended_labels(service.name, f"{service.name}-{TESTERS}", TESTERS),
    )
    return Typed(
        networking.VirtualService,
        f"{service.name}-{TESTERS}",
        networking.VirtualServiceArgs(metadata=metadata, spec=spec),
    )


def _destination(service: ServiceConfig, version: str) -> networking.VirtualServiceSpecHttpRouteDestinationArgs:
    return networking.VirtualServiceSpecHttpRouteDestinationArgs(
        host=address(service).host,
        subset=version,
        port=networking.VirtualServiceSpecHttpRouteDestinationPortArgs(number=service.port),
    )


def _answer(service: ServiceConfig, version: str) -> networking.VirtualServiceSpecHttpRouteHeadersArgs | None:
    """Have the client's proxy write into each answer which version it sent the request to."""
    if not service.version_header:
        return None
    return networking.VirtualServiceSpecHttpRouteHeadersArgs(
        response=networking.VirtualServiceSpecHttpRouteHeadersResponseArgs(set={service.version_header: version})
    )
