"""How the program's own containers are confined."""

from pulumi_kubernetes.core import v1 as core

NOBODY = 65532
"""The user of images without a user database; `nonroot` in distroless images."""


def restricted_context() -> core.SecurityContextArgs:
    """Ask for what the Pod Security level "restricted" asks for, and a read-only root.

    It is the container's and not the pod's: the injected init container has to be root to set up the redirection.
    Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    """
    return core.SecurityContextArgs(
        run_as_non_root=True,
        run_as_user=NOBODY,
        run_as_group=NOBODY,
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=core.CapabilitiesArgs(drop=["ALL"]),
        seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
    )
