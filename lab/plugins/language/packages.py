"""Which provider plugins the installed packages need: the same rule as Pulumi's own host."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lab.plugins.language.virtualenv import Distribution, VirtualenvError

_WITHOUT_PLUGIN = frozenset({"pulumi-policy", "pulumi-esc-sdk"})
"""Packages that Pulumi's own host knows to have none, whatever their names say."""


@dataclass(frozen=True)
class Provider:
    """A resource plugin that the engine is to load.

    Attributes:
        name: such as "kubernetes".
        version: with a leading "v".
        server: where Pulumi would download it; empty for its usual place.
    """

    name: str
    version: str
    server: str


def required_providers(distributions: Iterable[Distribution]) -> tuple[Provider, ...]:
    """The plugins of all packages that have a pulumi-plugin.json or are named pulumi-…, each once, in order.

    A package whose plugin's version can be told neither from its pulumi-plugin.json nor from its own version (a pre-release) is
    left out, as Pulumi's own host does with some: the engine looks for its plugin when the first resource wants it.

    Raises:
        VirtualenvError: a package's plugin is parameterized.
    """
    return tuple(dict.fromkeys(provider for found in distributions for provider in _providers_of(found)))


def _providers_of(distribution: Distribution) -> Iterable[Provider]:
    plugin = distribution.plugin
    if distribution.name in _WITHOUT_PLUGIN or (plugin is None and not distribution.name.startswith("pulumi-")):
        return
    plugin = plugin or {"resource": True}
    if not plugin.get("resource"):
        return
    if plugin.keys() & {"parameterization", "extensionParameterization"}:
        raise VirtualenvError(
            f"the package {distribution.name} uses a parameterized provider, which the stand-in language host cannot ask "
            "for, so its resources would go to the wrong one: uninstall it, or install Pulumi's own language host"
        )
    version = plugin.get("version") or _semantic(distribution.version)
    if version:
        name = plugin.get("name") or distribution.name.removeprefix("pulumi-")
        yield Provider(name=name, version=f"v{version.removeprefix('v')}", server=plugin.get("server", ""))


def _semantic(version: str) -> str | None:
    """A release such as 1.2 as a semantic version, 1.2.0; None for anything that is not a plain release."""
    if not re.fullmatch(r"\d+(\.\d+){0,2}", version):
        return None
    return ".".join([*version.split("."), "0", "0"][:3])
