"""The workloads of a region as plain Kubernetes objects: the program's own components, run without engine or cluster."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.stack import run_pulumi_func

from components.service import echo_workloads
from stackfile.model import PROJECT, RegionConfig


def workload_objects(config: RegionConfig) -> list[dict[str, Any]]:
    """What `echo_workloads` registers, as it would go to the cluster, in no particular order.

    Whole numbers are integers: on the way to a provider every number is a float. Takes a tenth of a second.
    """
    # pulumi keeps its settings in the context: in one of its own, neither a run before nor the caller is disturbed
    return [_with_integers(found) for found in contextvars.Context().run(asyncio.run, _registered(config))]


class _Collecting(Mocks):
    """A provider that answers every registration with its own inputs, and keeps them."""

    def __init__(self) -> None:
        self.objects: list[dict[str, Any]] = []

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise NotImplementedError(f"the workloads call {args.token}, which only a cluster can answer")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.custom:
            self.objects.append(args.inputs)
        return args.name, args.inputs


async def _registered(config: RegionConfig) -> list[dict[str, Any]]:
    collecting = _Collecting()
    set_mocks(collecting, project=PROJECT, stack=config.region, preview=False)
    await run_pulumi_func(lambda: _build(config))
    return collecting.objects


def _build(config: RegionConfig) -> None:
    echo_workloads(config, pulumi.ResourceOptions())


def _with_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_integers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_integers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
