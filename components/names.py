"""Names on which more than one component must agree."""

from dataclasses import dataclass

from stackfile.model import ServiceConfig

HTTP_PORT = 80
"""The port of an address that names none."""
ARGOCD_NAMESPACE = "argocd"
"""The one that Argo CD's own manifests write into their ClusterRoleBindings."""

MANAGED_BY = ("app.kubernetes.io/managed-by", "echo-rollout")
"""The label that every object of this program has, and its value."""

INGRESS = "istio-ingress"
"""The gateway's Helm release; so the chart names its Deployment and its Service too."""
GATEWAY = "gateway"
"""The Gateway in the gateway's namespace."""
TESTERS = "testers"
"""Ends the name of a service's VirtualService for testers at the gateway, and is the part that its label names."""


@dataclass(frozen=True)
class ServiceAddress:
    """Where clients find a service.

    Attributes:
        name: The service's, and its Service's.
        namespace: Where its objects are.
        port: The port of its Service, on which the routes are set.
        hosts: The names by which clients outside the mesh ask for it, through the gateway.
    """

    name: str
    namespace: str
    port: int = HTTP_PORT
    hosts: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """Its name in the cluster's DNS, which the routes are of."""
        return f"{self.name}.{self.namespace}.svc.cluster.local"

    @property
    def url(self) -> str:
        """What a client in the mesh requests."""
        return f"http://{self.host}/" if self.port == HTTP_PORT else f"http://{self.host}:{self.port}/"

    @property
    def application(self) -> str:
        """Argo CD's Application that delivers it: its namespace and its name."""
        return f"{ARGOCD_NAMESPACE}/{self.name}"


def gateway_reference(namespace: str) -> str:
    """The Gateway in the gateway's namespace, as a VirtualService names it."""
    return f"{namespace}/{GATEWAY}"


def gateway_address(namespace: str) -> str:
    """Where a client in the cluster and outside the mesh connects to the gateway, as host:port."""
    return f"{INGRESS}.{namespace}.svc.cluster.local:{HTTP_PORT}"


WAVES = {
    # its subsets name pods, which are ready once the Deployments of wave 0 are healthy
    "DestinationRule": 1,
    # a route to a subset that the DestinationRule does not have answers 503
    "VirtualService": 2,
}
"""In which wave Argo CD syncs a kind: after the objects of the wave before are there and healthy. Any other kind is in wave 0."""


def overlays(region: str) -> str:
    """Where a region's overlays are, from the top of the project, where no stack file says another place."""
    return f"deploy/overlays/{region}"


def overlay(region: str, service: ServiceConfig) -> str:
    """Where a service's overlay is, from the top of the project: rendered there, and read there by Argo CD."""
    return service.path or f"{overlays(region)}/{service.name}"


def address(service: ServiceConfig) -> ServiceAddress:
    """Where clients find a service."""
    return ServiceAddress(service.name, service.namespace, service.port, service.hosts)


def selector(service: str, version: str) -> dict[str, str]:
    """Select a version's pods. A Deployment's selector is immutable: a label more here would replace every Deployment."""
    return {"app": service, "version": version}


def pod_labels(service: str, version: str) -> dict[str, str]:
    """Fill in the labels of a version's pods."""
    # Istio takes app.kubernetes.io/version before version as the revision in its metrics: here both are the subset
    return {
        **selector(service, version),
        **recommended_labels(service, f"{service}-{version}", "server"),
        "app.kubernetes.io/version": version,
    }


def recommended_labels(name: str, instance: str, component: str) -> dict[str, str]:
    """Fill in the labels that Kubernetes recommends for every object, except the version's.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
    """
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": instance,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "echo-rollout",
        MANAGED_BY[0]: MANAGED_BY[1],
    }
