"""The least that a stack file must say, changed in one place, and what is told about it."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from stackfile.model import ConfigError, RegionConfig

MINIMAL: dict[str, Any] = {
    "cluster": {"context": "region-a"},
    "mesh": {"network": "network-a"},
    "repository": {"url": "https://git.corp.local/platform/echo-rollout.git"},
    "services": {
        "echo": {
            "versions": {
                "v1": {"image": "registry.corp.local/echo:1.0.0", "replicas": 3, "weight": 90},
                "v2": {"image": "registry.corp.local/echo:2.0.0", "replicas": 3, "weight": 10},
            }
        }
    },
    "probe": {"image": "registry.corp.local/probe:1.0.0"},
}

NGINX: dict[str, Any] = {
    "versions": {
        "v1": {"image": "registry.corp.local/nginx:1.26.0", "replicas": 3, "weight": 100},
        "v2": {"image": "registry.corp.local/nginx:1.27.0", "replicas": 3, "weight": 0},
    },
    "maxEjectionPercent": 34,
    "port": 8000,
    "probes": {"startup": "/", "readiness": "/", "liveness": "/"},
    "drain": {"by": "sleep"},
}
"""A service that is nothing like echo."""


def parse(values: Mapping[str, object]) -> RegionConfig:
    return RegionConfig.parse(values, region="region-a", source="Pulumi.region-a.yaml")


def with_value(path: str, value: object) -> dict[str, Any]:
    """The minimal values with one of them changed."""
    values = copy.deepcopy(MINIMAL)
    *parents, last = path.split(".")
    part = values
    for key in parents:
        part = part.setdefault(key, {})
    part[last] = value
    return values


def problems(values: Mapping[str, object]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(values)
    return caught.value.problems


def the_problem(values: Mapping[str, object]) -> str:
    (problem,) = problems(values)
    return problem
