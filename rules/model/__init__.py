"""Make before break, proved: every order of events that a change can run in, and the shortest of them that answers 503.

Pure, and fast enough for every change: versions do not wait for each other's events, so each is searched for itself.
docs/make-before-break.md has what is modelled, from which source, and what is not.
"""

from rules.model.changes import outage
from rules.model.mesh import AS_IT_IS, ORDERLY, Mesh
from rules.model.orders import ArgoCd, Order, PulumiOrder
from rules.model.search import find_outage
from rules.model.story import Failure, Story
from rules.model.target import Pods, Target

__all__ = [
    "AS_IT_IS",
    "ORDERLY",
    "ArgoCd",
    "Failure",
    "Mesh",
    "Order",
    "Pods",
    "PulumiOrder",
    "Story",
    "Target",
    "find_outage",
    "outage",
]
