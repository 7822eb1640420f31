"""The ingress gateway of one region: where clients outside the mesh reach the services, by the official Helm chart gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes_istio.networking import v1 as networking

from components.istio import Chart, merged
from components.names import GATEWAY, HTTP_PORT, INGRESS, recommended_labels
from components.traffic import testers_at_gateway
from stackfile.model import GatewayConfig, IstioConfig, RegionConfig, ServiceConfig

_HTTPS_PORT = 443
_STATUS_PORT = 15021
_DRAIN_SECONDS = 15
"""How long a pod that is to end goes on accepting connections: what routes to it takes a while to hear of its end."""
_GRACE_SECONDS = 60
"""After this long whatever still runs is killed: the drain, the end of the slowest request, and connections that stay idle."""


@dataclass(frozen=True)
class IngressGatewayArgs:
    """What a gateway depends on.

    Attributes:
        istio: Whence its chart comes.
        gateway: What the stack file says of it.
        hosts: The names that clients ask for, each as `namespace/host`: VirtualServices of that namespace may route it. Without any,
            the gateway answers nobody.
        testers: The services that testers ask for a version through the gateway, with the secret that they show.
        failed: The latest failed revision of each Helm release that has one.
    """

    istio: IstioConfig
    gateway: GatewayConfig
    hosts: Sequence[str]
    testers: Sequence[tuple[ServiceConfig, pulumi.Input[str]]] = ()
    failed: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: RegionConfig,
        gateway: GatewayConfig,
        testers: Sequence[tuple[ServiceConfig, pulumi.Input[str]]],
        failed: Mapping[str, int],
    ) -> IngressGatewayArgs:
        """What a stack file says of it."""
        return cls(config.istio, gateway, gateway_hosts(config.services.values()), testers, failed)


def gateway_hosts(services: Iterable[ServiceConfig]) -> tuple[str, ...]:
    """The names by which clients outside the mesh ask for services, each as `namespace/host`."""
    return tuple(f"{service.namespace}/{host}" for service in services for host in service.hosts)


class IngressGateway(pulumi.ComponentResource):
    """The gateway's pods and their Service, and the Gateway that VirtualServices are bound to.

    Register it after IstioInstall: istiod injects the proxy into its pods. One that is restarted, scaled or moved loses no request.
    """

    def __init__(self, name: str, args: IngressGatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:gateway:IngressGateway", name, None, opts)
        after: pulumi.Resource = core.Namespace(
            name,
            metadata=meta.ObjectMetaArgs(
                name=args.gateway.namespace, labels=recommended_labels(INGRESS, INGRESS, "namespace")
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        if args.hosts:
            # before the pods, which then listen when they are ready
            after = networking.Gateway(
                name,
                metadata=meta.ObjectMetaArgs(
                    name=GATEWAY,
                    namespace=args.gateway.namespace,
                    labels=recommended_labels(INGRESS, INGRESS, "gateway"),
                ),
                spec=networking.GatewaySpecArgs(selector=_SELECTOR, servers=_servers(args)),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[after]),
            )
        gateway_chart(args.gateway).install(
            name,
            args.istio,
            gateway_values(args.gateway),
            args.failed,
            pulumi.ResourceOptions(parent=self, depends_on=[after]),
        )
        for service, secret in args.testers:
            # unlike the gateway, which clients need, it goes with the setting or the Secret
            testers_at_gateway(service, args.gateway.namespace, secret).register(
                pulumi.ResourceOptions(parent=self, depends_on=[after], protect=False)
            )
        self.register_outputs({})


_SELECTOR = {"app": INGRESS, "istio": "ingress"}
"""The labels that the chart makes of the release's name, and gives to its pods."""


def gateway_chart(config: GatewayConfig) -> Chart:
    """The chart, and its release in the namespace of the gateway."""
    return Chart("gateway", INGRESS, config.namespace)


def gateway_values(config: GatewayConfig) -> dict[str, Any]:
    """Fill in the chart's values: how many pods, how they come and go, and the user's values over them."""
    ours = {
        "autoscaling": {"enabled": False},
        "replicaCount": config.replicas,
        # Kubernetes takes the chart's placeholder "auto" for a tag that moves, and would pull at every start
        "imagePullPolicy": "IfNotPresent",
        "service": {"type": config.service_type, "ports": _ports(config)},
        # never less than all replicas, whatever moves them
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
        "podDisruptionBudget": {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
        "topologySpreadConstraints": [
            _spread(key) for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        # by itself the proxy is killed five seconds after it was asked to end, with every request that it then has
        "env": {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true", "MINIMUM_DRAIN_DURATION": f"{_DRAIN_SECONDS}s"},
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        # Istio's own asks every fifteen seconds, for which every new pod waits: the first answer is always no
        "readinessProbe": {
            "httpGet": {"path": "/healthz/ready", "port": _STATUS_PORT},
            "periodSeconds": 2,
            "failureThreshold": 15,
            "timeoutSeconds": 3,
        },
    }
    return merged(ours, config.values)


def _ports(config: GatewayConfig) -> list[dict[str, Any]]:
    # the first is the one by which load balancers of some clouds ask whether a pod is ready
    ports = {"status-port": _STATUS_PORT, "http2": HTTP_PORT} | ({"https": _HTTPS_PORT} if config.tls_secret else {})
    return [{"name": name, "port": port, "protocol": "TCP", "targetPort": port} for name, port in ports.items()]


def _spread(topology_key: str) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": topology_key,
        # better crowded than not running: a region may have one node
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": _SELECTOR},
        # old pods on their way out must not push the new ones aside
        "matchLabelKeys": ["pod-template-hash"],
    }


def _servers(args: IngressGatewayArgs) -> list[networking.GatewaySpecServersArgs]:
    # a VirtualService for testers is beside the Gateway
    hosts = [*args.hosts, *(f"./{host}" for service, _ in args.testers for host in service.hosts)]
    plain = networking.GatewaySpecServersArgs(
        port=networking.GatewaySpecServersPortArgs(name="http", number=HTTP_PORT, protocol="HTTP"), hosts=hosts
    )
    if not args.gateway.tls_secret:
        return [plain]
    encrypted = networking.GatewaySpecServersArgs(
        port=networking.GatewaySpecServersPortArgs(name="https", number=_HTTPS_PORT, protocol="HTTPS"),
        hosts=hosts,
        tls=networking.GatewaySpecServersTlsArgs(mode="SIMPLE", credential_name=args.gateway.tls_secret),
    )
    return [plain, encrypted]
