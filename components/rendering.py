"""Typed objects that the components register with Pulumi, and that are rendered as plain ones, without engine or cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi import _types

from components.names import WAVES
from rules.facts.shapes import SYNC_OPTIONS
from rules.facts.workloads import SYNC_WAVE

# These are there as long as the service is, whatever its versions: a commit that loses one of them is a mistake, which Argo CD
# then shows (OutOfSync) and does not carry out.
_NEVER_PRUNED = ("Service", "ServiceAccount", "DestinationRule", "VirtualService")


@dataclass(frozen=True)
class Typed:
    """An object before it is anywhere.

    Attributes:
        of: The SDK's class of its kind.
        name: Its name among the stack's resources.
        args: The class's arguments, all of whose values are known.
    """

    of: Callable[[str, Any, pulumi.ResourceOptions], pulumi.CustomResource]
    name: str
    args: object

    def register(self, opts: pulumi.ResourceOptions) -> pulumi.CustomResource:
        """Have Pulumi apply it."""
        return self.of(self.name, self.args, opts)

    def rendered(self) -> dict[str, Any]:
        """The object as its YAML has it, with what Argo CD has to know of it."""
        # such as kubernetes:core/v1:Service
        _, version, kind = getattr(self.of, "pulumi_type").split(":")  # noqa: B009 - a decorator sets it, which mypy cannot know
        found = _plain(self.args)
        ours = {SYNC_WAVE: str(WAVES[kind])} if kind in WAVES else {}
        if kind in _NEVER_PRUNED:
            ours[SYNC_OPTIONS] = "Prune=false"
        annotations = {**found["metadata"].get("annotations", {}), **ours}
        metadata = {**found["metadata"], **({"annotations": annotations} if annotations else {})}
        return {**found, "apiVersion": version.removeprefix("core/"), "kind": kind, "metadata": metadata}


def _plain(value: Any) -> Any:
    """A value with the names of the API, as Pulumi would send it; what is None is left out."""
    if _types.is_input_type(type(value)):
        value = _types.input_type_to_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
