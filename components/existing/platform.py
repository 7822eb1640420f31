"""Istio and Argo CD that are on a cluster already: looked at before anything is registered, in a preview too."""

import pulumi

from components.cluster import Connection
from components.existing.argocd import look_at_argocd
from components.existing.istio import look_at_istio
from components.existing.look import Look
from components.safety import UnsafeError
from stackfile.model import RegionConfig


def require_platform(connection: Connection, config: RegionConfig) -> None:
    """Return if what the stack does not install is there and safe to use, and log the warnings.

    Raises:
        UnsafeError: If it is not, with all that speaks against it.
        ClusterError: If the cluster cannot be asked.
    """
    look = Look(connection)
    if not config.istio.install:
        look_at_istio(look, config)
    if not config.argocd.install and config.delivery != "direct":
        look_at_argocd(look, config)
    for warning in look.warned:
        pulumi.log.warn(warning)
    if look.refused:
        raise UnsafeError("\n".join(look.refused))
