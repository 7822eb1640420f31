"""Every rule over one region, in the order in which a reader wants to hear of it."""

from __future__ import annotations

from rules.capacity import CAPACITY
from rules.disruption import DISRUPTION
from rules.ejection import EJECTION
from rules.finding import Rule
from rules.hosts import HOSTS
from rules.images import IMAGES
from rules.ownership import OWNERSHIP
from rules.ports import PORTS
from rules.reading import READING
from rules.region import Region
from rules.routing import ROUTING
from rules.selection import SELECTION
from rules.waves import WAVES

ONE_REGION: tuple[Rule[Region], ...] = (
    *READING,
    *ROUTING,
    *HOSTS,
    *PORTS,
    *SELECTION,
    *EJECTION,
    *CAPACITY,
    *DISRUPTION,
    *IMAGES,
    *WAVES,
    *OWNERSHIP,
)
