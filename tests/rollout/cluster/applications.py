"""Applications as the API server gives them, in the states that Argo CD brings them to."""

from __future__ import annotations

from typing import Any

OLD = "1" * 40
NEW = "2" * 40


def application(**status: Any) -> dict[str, Any]:
    """The Application of region-a with this status; without any, Argo CD has not seen it yet."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "echo", "namespace": "argocd"},
        "spec": {
            "project": "echo",
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "echo"},
            "source": {
                "repoURL": "https://git.corp.local/platform/echo-rollout.git",
                "targetRevision": "main",
                "path": "deploy/overlays/region-a/echo",
            },
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
        },
        **({"status": status} if status else {}),
    }


def well(revision: str = NEW, *history: str) -> dict[str, Any]:
    """Synced to a commit, and healthy."""
    return application(
        sync={"status": "Synced", "revision": revision},
        health={"status": "Healthy"},
        history=[{"id": number, "revision": commit} for number, commit in enumerate(history or (revision,))],
        operationState={
            "phase": "Succeeded",
            "message": "successfully synced (all tasks run)",
            "syncResult": {"revision": revision, "resources": [resource("VirtualService", "Synced", "configured")]},
        },
    )


def refused() -> dict[str, Any]:
    """A new commit whose VirtualService a webhook refused, with the old one still in force."""
    return application(
        sync={"status": "OutOfSync", "revision": NEW},
        health={"status": "Healthy"},
        history=[{"id": 0, "revision": OLD}],
        operationState={
            "phase": "Failed",
            "message": "one or more objects failed to apply",
            "retryCount": 5,
            "syncResult": {
                "revision": NEW,
                "resources": [
                    resource("DestinationRule", "Synced", "unchanged"),
                    resource("VirtualService", "SyncFailed", "weight 190 is too much"),
                ],
            },
        },
    )


def unreadable() -> dict[str, Any]:
    """A first commit that Argo CD cannot read."""
    return application(
        sync={"status": "Unknown"},
        health={"status": "Healthy"},
        conditions=[{"type": "ComparisonError", "message": "deploy/overlays/region-a/echo: app path does not exist"}],
    )


def resource(kind: str, status: str, message: str) -> dict[str, str]:
    return {
        "group": "networking.istio.io",
        "version": "v1",
        "kind": kind,
        "namespace": "echo",
        "name": "echo",
        "status": status,
        "message": message,
    }
