"""How clients of the mesh reach echo: which share goes to which version, and how they treat its pods."""

import pulumi
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes_istio.networking import v1 as networking

from components.names import ECHO, ECHO_HOST, ECHO_NAMESPACE, HTTP_PORT, recommended_labels
from components.rendering import Typed
from stackfile.model import ConnectionPoolConfig, EchoConfig


class TrafficPolicy(pulumi.ComponentResource):
    """A DestinationRule with one subset for each version, and the VirtualService that splits the requests between them.

    The VirtualService comes last and goes first: a route to a subset that is not there answers 503.
    """

    def __init__(self, name: str, args: EchoConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:traffic:TrafficPolicy", name, None, opts)
        rule, routes = traffic_objects(args)
        before = rule.register(pulumi.ResourceOptions(parent=self))
        routes.register(pulumi.ResourceOptions(parent=self, depends_on=[before]))
        self.register_outputs({})


def traffic_objects(args: EchoConfig) -> tuple[Typed, Typed]:
    """The objects of `TrafficPolicy` in the order in which they come."""
    metadata = meta.ObjectMetaArgs(
        name=ECHO, namespace=ECHO_NAMESPACE, labels=recommended_labels(ECHO, ECHO, "traffic")
    )
    rule = networking.DestinationRuleArgs(metadata=metadata, spec=_destination_rule(args))
    routes = networking.VirtualServiceArgs(metadata=metadata, spec=_virtual_service(args))
    return Typed(networking.DestinationRule, ECHO, rule), Typed(networking.VirtualService, ECHO, routes)


def _destination_rule(echo: EchoConfig) -> networking.DestinationRuleSpecArgs:
    return networking.DestinationRuleSpecArgs(
        host=ECHO_HOST,
        traffic_policy=networking.DestinationRuleSpecTrafficPolicyArgs(
            connection_pool=_connection_pool(echo.connection_pool), outlier_detection=_outlier_detection(echo)
        ),
        subsets=[
            networking.DestinationRuleSpecSubsetsArgs(name=version, labels={"version": version})
            for version in echo.versions
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


def _outlier_detection(echo: EchoConfig) -> networking.DestinationRuleSpecTrafficPolicyOutlierDetectionArgs:
    return networking.DestinationRuleSpecTrafficPolicyOutlierDetectionArgs(
        consecutive5xx_errors=echo.outlier_detection.consecutive_5xx_errors,
        interval=echo.outlier_detection.interval,
        base_ejection_time=echo.outlier_detection.base_ejection_time,
        max_ejection_percent=echo.max_ejection_percent,
    )


def _virtual_service(echo: EchoConfig) -> networking.VirtualServiceSpecArgs:
    """Route by weight; a version of weight 0 stays in the list, so that a later change of its weight is that and no more."""
    return networking.VirtualServiceSpecArgs(
        hosts=[ECHO_HOST],
        http=[
            networking.VirtualServiceSpecHttpArgs(
                route=[
                    networking.VirtualServiceSpecHttpRouteArgs(
                        destination=networking.VirtualServiceSpecHttpRouteDestinationArgs(
                            host=ECHO_HOST,
                            subset=version,
                            port=networking.VirtualServiceSpecHttpRouteDestinationPortArgs(number=HTTP_PORT),
                        ),
                        weight=config.weight,
                    )
                    for version, config in echo.versions.items()
                ]
            )
        ],
    )
