"""What a region's API server and Envoys answered, shortened: no field was changed or made up.

The pages of two services and of gateways are what Istio's own generator makes of two VirtualServices, printed by an Envoy.
The page of counters is that of an Envoy after requests whose end was known.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def text(name: str) -> str:
    return Path(__file__).with_name(f"{name}.json").read_text()


def syncz() -> list[dict[str, Any]]:
    """What an istiod says of three of its proxies, fresh."""
    parsed: list[dict[str, Any]] = json.loads(text("syncz"))
    return parsed


def document(name: str) -> dict[str, Any]:
    """A fresh copy, for a test to change."""
    parsed: dict[str, Any] = json.loads(text(name))
    return parsed
