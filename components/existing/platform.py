"""What is on a cluster already and is to be used: looked at before anything is registered, in a preview too."""

from collections.abc import Mapping
from typing import Any

import pulumi

from components.existing.argocd import look_at_argocd
from components.existing.cluster import Connection
from components.existing.istio import look_at_istio
from components.existing.look import Look
from components.existing.safety import UnsafeError
from components.existing.service import look_at_service, new_services
from stackfile.model import RegionConfig


def require_usable(connection: Connection, previous: Mapping[str, Any], config: RegionConfig) -> None:
    """Return if what the stack does not install is safe to use, and what runs of a new service to take over; log the warnings.

    `previous` is what the stack exported when it last came up.

    Raises:
        UnsafeError: If it is not, with all that speaks against it.
        ClusterError: If the cluster cannot be asked.
    """
    look = Look(connection)
    if not config.istio.install:
        look_at_istio(look, config)
    if not config.argocd.install and config.delivery != "direct":
        look_at_argocd(look, config)
    for service in new_services(previous, config):
        look_at_service(look, config, service)
    for warning in look.warned:
        pulumi.log.warn(warning)
    if look.refused:
        raise UnsafeError("\n".join(look.refused))
