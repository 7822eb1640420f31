"""The secrets by which testers outside the mesh may ask for a version: read from the cluster, kept secret in the stack's state."""

import base64
from typing import cast

import pulumi

from components.existing.cluster import ClusterError, Connection, named
from stackfile.model import RegionConfig, ServiceConfig

_KEY = "value"
_SHORTEST = 16
"""Nothing bounds how many values somebody outside may try: a value of this length cannot be guessed, if it is random."""


def read_secrets(connection: Connection, config: RegionConfig) -> list[tuple[ServiceConfig, pulumi.Output[str]]]:
    """The services that testers may ask for a version through the gateway, each with the secret that they show.

    A Secret that is not there yet is warned of, and nobody outside can ask: the namespace that it is in comes with the gateway.

    Raises:
        ClusterError: the cluster cannot be asked, the user of an update may not read the Secret, or its value protects nothing.
    """
    found: list[tuple[ServiceConfig, pulumi.Output[str]]] = []
    for service in config.services.values():
        # a VirtualService without a route is refused
        if config.gateway and service.testers and service.for_testers and (name := service.testers.gateway_secret):
            secret = _read(connection, config.gateway.namespace, name)
            if secret is None:
                pulumi.warn(
                    f"Secret {config.gateway.namespace}/{name}: is not there — until it is, nobody outside the mesh can ask for a "
                    f"version of {service.name}; make it, and run pulumi up again: kubectl {connection.flags('context')} create secret "
                    f'generic {name} --namespace={config.gateway.namespace} --from-literal={_KEY}="$(openssl rand -hex 16)"'
                )
            else:
                found.append((service, secret))
    return found


def _read(connection: Connection, namespace: str, name: str) -> pulumi.Output[str] | None:
    where = f"Secret {namespace}/{name}"
    answer = connection.get(named(f"/api/v1/namespaces/{namespace}/secrets", name))
    if answer is None and pulumi.runtime.is_dry_run():
        pulumi.warn(
            f"{where}: the user may not list it — the preview goes on as if it were there, and an update does not"
        )
        return pulumi.Output.secret("").apply(lambda _: cast("str", pulumi.UNKNOWN))
    if answer is None:
        raise ClusterError(
            f"{where}: the user may not list secrets in {namespace} — testers at the gateway are known by its {_KEY}; grant the verb "
            "list, or leave gatewaySecret out"
        )
    if not (items := answer["items"]):
        return None
    try:
        value = base64.b64decode((items[0].get("data") or {})[_KEY], validate=True).decode("ascii")
    except (KeyError, ValueError):
        value = ""
    if len(value) < _SHORTEST or not value.isprintable() or value != value.strip():
        raise ClusterError(
            f"{where}: has no key {_KEY} with at least {_SHORTEST} characters that a header can hold — anyone who guesses it sees an "
            "unreleased version; give it a random one, such as openssl rand -hex 16 prints"
        )
    return pulumi.Output.secret(value)
