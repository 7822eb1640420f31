"""Istio's Helm charts, and how they are installed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.helm import v3 as helm

from stackfile.model import IstioConfig

_READY_WITHIN_SECONDS = 300
"""How long Helm waits for a chart's pods: the pull of an image of 200 MB on a slow line, and a start of some seconds."""


@dataclass(frozen=True)
class Chart:
    """One of Istio's charts, and the release that it is installed as: its name and its namespace.

    A release's name is fixed: chart base keeps its CRDs when it is uninstalled, and Helm lets no release of another name take them
    over.
    """

    name: str
    release: str
    namespace: str

    def install(
        self,
        name: str,
        istio: IstioConfig,
        values: Mapping[str, Any],
        failed: Mapping[str, int],
        opts: pulumi.ResourceOptions,
    ) -> helm.Release:
        """Install the chart; a failed release stays, to be looked at and to be upgraded by the next update.

        The provider upgrades what its state calls failed, and a refresh makes it forget that. So the description of what comes after
        a failed revision names it: that is a change until the upgrade has been tried, and none afterwards.
        """
        revision = failed.get(self.release)
        repository = istio.charts if istio.charts.startswith(("https://", "http://")) else None
        return helm.Release(
            name,
            name=self.release,
            namespace=self.namespace,
            chart=self.name if repository else f"{istio.charts.rstrip('/')}/{self.name}",
            repository_opts=helm.RepositoryOptsArgs(repo=repository) if repository else None,
            version=istio.version,
            values=values,
            description=f"after revision {revision}, which failed" if revision else None,
            # pods that start before istiod is ready get no sidecar, and nothing gives them one later
            skip_await=False,
            timeout=_READY_WITHIN_SECONDS,
            opts=opts,
        )


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as Helm merges values: objects key by key, anything else is replaced."""
    both = {
        key: merged(under[key], value)
        for key, value in over.items()
        if isinstance(value, Mapping) and isinstance(under.get(key), Mapping)
    }
    return {**under, **over, **both}
