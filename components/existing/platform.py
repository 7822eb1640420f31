"""What is on a cluster already and is to be used: looked at before anything is registered, in a preview too."""

from collections.abc import Iterable

from components.existing.argocd import look_at_argocd
from components.existing.cluster import Connection
from components.existing.istio import look_at_istio
from components.existing.look import Look
from components.existing.safety import refuse
from components.existing.service import look_at_service
from stackfile.model import RegionConfig, ServiceConfig


def require_usable(connection: Connection, config: RegionConfig, new: Iterable[ServiceConfig]) -> None:
    """Return if what the stack does not install is safe to use, and what runs of a new service to take over; log the warnings.

    `new` are the services that the stack did not have when it last came up.

    Raises:
        UnsafeError: If it is not, with all that speaks against it.
        ClusterError: If the cluster cannot be asked.
    """
    look = Look(connection)
    if not config.istio.install:
        look_at_istio(look, config)
    if not config.argocd.install and config.delivery != "direct":
        look_at_argocd(look, config)
    for service in new:
        look_at_service(look, config, service)
    refuse(look.refused, look.warned)
