"""Which objects of a region are applied: those of its overlay, or those that its stack file says. Pure."""

from __future__ import annotations

from dataclasses import replace

from components.facts import as_region
from rollout.plan.declaration import Declared
from rules.facts.region import Region
from rules.facts.workloads import (
    Delivery,
    ObjectId,
    Workloads,
)


def delivered(declared: Declared, successor: Declared | None) -> Region | None:
    """A region at the base: what was applied of it; None where nothing tells that.

    Without an overlay Argo CD leaves alone what it applied before, or has never applied anything: the stack file is the best guess.

    Args:
        declared: The region at the base.
        successor: The region after the change, which is asked who delivers where the base does not tell; None if it is gone.
    """
    if declared.config is None:
        delivery: Delivery = successor.config.delivery if successor and successor.config else "gitops"
        return Region(declared.name, delivery, declared.overlay) if declared.overlay else None
    region = as_region(declared.config)
    return replace(region, workloads=declared.overlay) if argo_cd_applies(declared) and declared.overlay else region


def to_deliver(declared: Declared, *, committed: bool) -> Region:
    """A region after the change: what will be applied of it.

    Args:
        declared: The region, with a stack file that can be used.
        committed: It is applied as it is; in the working tree there is still time to render.
    """
    assert declared.config is not None, "a head whose stack files cannot be used is not planned"
    region = as_region(declared.config)
    if not argo_cd_applies(declared) or declared.overlay is None:
        return region
    return replace(region, workloads=declared.overlay) if committed or is_rendered(declared) else region


def is_rendered(declared: Declared) -> bool:
    """Whether an overlay is what its stack file says, as far as the rules look at it.

    Waves are the delivery's own and not the stack file's.
    """
    return declared.overlay is not None and not differences(declared)


def argo_cd_applies(declared: Declared) -> bool:
    """Whether the overlay is applied; not known, and so false, where the stack file cannot be used."""
    return declared.config is not None and declared.config.delivery != "direct"


def differences(declared: Declared) -> list[str]:
    """What in an overlay is not what the stack file says."""
    assert declared.config is not None, "there is something to compare with"
    found = declared.overlay or Workloads()
    wanted, present = _without_waves(as_region(declared.config).workloads), _without_waves(found)
    unreadable = [f"{each.where}: {each.what}" for each in found.unreadable]
    differing = [str(each) for each in sorted({*wanted, *present}) if wanted.get(each) != present.get(each)]
    return unreadable + differing


def _without_waves(workloads: Workloads) -> dict[ObjectId, object]:
    """Each object by its id, without its wave."""
    return {**dict.fromkeys(workloads.ids), **{each.id: each for each in workloads.without_waves().objects}}
