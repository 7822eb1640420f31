"""All rules there are, in the order in which a reader should meet them: one region, its change, several services, several regions."""

from __future__ import annotations

from typing import Any

from rules.between.changes import BETWEEN_CHANGES
from rules.between.regions import BETWEEN_REGIONS
from rules.between.services import BETWEEN_SERVICES
from rules.change.constancy import CONSTANCY
from rules.change.freeze import FREEZE
from rules.change.order import ORDER
from rules.change.pace import PACE
from rules.change.platform import PLATFORM_CHANGE
from rules.change.pods import PODS
from rules.facts.region import Change, Region
from rules.finding import Rule
from rules.region.capacity import CAPACITY
from rules.region.delivery import DELIVERY
from rules.region.disruption import DISRUPTION
from rules.region.ejection import EJECTION
from rules.region.hosts import HOSTS
from rules.region.images import IMAGES
from rules.region.platform import PLATFORM
from rules.region.ports import PORTS
from rules.region.probes import PROBES
from rules.region.reading import READING
from rules.region.routing import ROUTING
from rules.region.selection import SELECTION

ONE_REGION: tuple[Rule[Region], ...] = (
    *READING,
    *ROUTING,
    *HOSTS,
    *PORTS,
    *SELECTION,
    *EJECTION,
    *CAPACITY,
    *PROBES,
    *DISRUPTION,
    *IMAGES,
    *DELIVERY,
    *PLATFORM,
)
CHANGE: tuple[Rule[Change], ...] = (*ORDER, *PACE, *FREEZE, *PODS, *CONSTANCY, *PLATFORM_CHANGE)
RULES: tuple[Rule[Any], ...] = (*ONE_REGION, *CHANGE, *BETWEEN_SERVICES, *BETWEEN_REGIONS, *BETWEEN_CHANGES)


def waivable_ids() -> frozenset[str]:
    """What a waiver may name."""
    return frozenset(rule.id for rule in RULES if rule.waivable)
