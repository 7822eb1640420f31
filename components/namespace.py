"""The namespace of echo, which is Pulumi's whoever delivers the workloads in it."""

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes_istio.security import v1 as security

from components.names import ECHO, ECHO_NAMESPACE, recommended_labels


class EchoNamespace(pulumi.ComponentResource):
    """The namespace of echo: sidecars are injected, and workloads accept mutual TLS only."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:echo:EchoNamespace", name, None, opts)
        namespace = core.Namespace(
            name,
            metadata=meta.ObjectMetaArgs(
                name=ECHO_NAMESPACE,
                labels={"istio-injection": "enabled", **recommended_labels(ECHO, ECHO, "namespace")},
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        security.PeerAuthentication(
            f"{name}-mutual-tls",
            # Istio applies the one of this name to the whole namespace when it selects no workload
            metadata=meta.ObjectMetaArgs(
                name="default", namespace=ECHO_NAMESPACE, labels=recommended_labels(ECHO, ECHO, "mutual-tls")
            ),
            spec=security.PeerAuthenticationSpecArgs(mtls=security.PeerAuthenticationSpecMtlsArgs(mode="STRICT")),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace]),
        )
        self.register_outputs({})
