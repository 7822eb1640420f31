"""The namespaces of the services, which Pulumi always owns, and how the program's own containers are confined."""

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes_istio.security import v1 as security

from components.names import recommended_labels

NOBODY = 65532
"""The user of images without a user database; `nonroot` in distroless images."""


class ServiceNamespace(pulumi.ComponentResource):
    """A namespace of services, named as this component: sidecars are injected, and workloads accept mutual TLS only."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        aliased = pulumi.ResourceOptions(aliases=[pulumi.Alias(type_="echo-rollout:echo:EchoNamespace")])
        super().__init__(
            "echo-rollout:service:ServiceNamespace", name, None, pulumi.ResourceOptions.merge(opts, aliased)
        )
        namespace = core.Namespace(
            name,
            metadata=meta.ObjectMetaArgs(
                name=name,
                labels={"istio-injection": "enabled", **recommended_labels(name, name, "namespace")},
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        security.PeerAuthentication(
            f"{name}-mutual-tls",
            # Istio applies the one of this name to the whole namespace when it selects no workload
            metadata=meta.ObjectMetaArgs(
                name="default", namespace=name, labels=recommended_labels(name, name, "mutual-tls")
            ),
            spec=security.PeerAuthenticationSpecArgs(mtls=security.PeerAuthenticationSpecMtlsArgs(mode="STRICT")),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace]),
        )
        self.register_outputs({})


def restricted_context(user: int = NOBODY) -> core.SecurityContextArgs:
    """Ask for what the Pod Security level "restricted" asks for, and a read-only root.

    It is the container's and not the pod's: the injected init container has to be root to set up the redirection.
    Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    """
    return core.SecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=user,
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=core.CapabilitiesArgs(drop=["ALL"]),
        seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
    )
