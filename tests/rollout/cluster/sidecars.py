"""Pods with a sidecar, as the API server gives them, and what their Envoys answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.rollout.cluster.captured import text
from tests.rollout.cluster.fake_cluster import STDOUT, SUCCESS, Exec

ROUTES, CLUSTERS = "routes-90-10", "clusters-one-ejected"


def sidecar(
    name: str, *, native: bool = True, ready: bool = True, leaving: bool = False, image: str = "hub/proxyv2:1.31.1"
) -> dict[str, Any]:
    containers = [{"name": "echo"}]
    proxy = [
        {"name": "istio-proxy", "image": image, "args": ["proxy", "sidecar", "--domain", "echo.svc.cluster.local"]}
    ]
    return {
        "metadata": {
            "namespace": "echo",
            "name": name,
            "uid": f"uid-of-{name}",
            **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else {}),
        },
        "spec": {"initContainers": proxy, "containers": containers} if native else {"containers": containers + proxy},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def answers(routes: str, clusters: str) -> Callable[[Exec], None]:
    """Answers with captured pages, each in two parts."""

    def answer(opened: Exec) -> None:
        page = text(routes if "config_dump" in opened.command[-1] else clusters).encode()
        opened.send(STDOUT, page[:1000])
        opened.send(STDOUT, page[1000:])
        opened.end(SUCCESS)

    return answer


answering = answers(ROUTES, CLUSTERS)
