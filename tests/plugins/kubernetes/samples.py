"""Objects that the tests send, and how they read an error."""

from __future__ import annotations

from typing import Any

import grpc
import pytest


def config_map(**more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "n"},
        "data": {"a": "1"},
        **more,
    }


def deployment(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "d", "namespace": "n"}
    selector = {"matchLabels": {"app": "d"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"selector": selector, **spec}}


def details(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    return str(error.value.details())
