"""What the rules are given: a region, regions side by side, and either of them before and after a change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from pydantic.alias_generators import to_camel

from rules.facts.windows import RecurringWindow
from rules.facts.workloads import Delivery, ObjectId, Workloads

SEMANTIC_VERSION = r"v?[0-9]+\.[0-9]+\.[0-9]+([-+.][0-9A-Za-z.+-]+)?"
MAY_DIFFER = (
    "region",
    "delivery",
    "cluster.**",
    "mesh.network",
    "istio.install",
    "istio.retain",
    "argocd.install",
    "argocd.retain",
    "metrics.**",
    "services.*.path",
    "services.*.stable",
    "services.*.podsForAllTraffic",
    "services.*.versions.*",
    "services.*.versions.*.weight",
    "services.*.versions.*.replicas",
    "rules.**",
)


@dataclass(frozen=True)
class Limits:
    """What a stack file's `rules` allow in its region; the defaults are the stack file's.

    Attributes:
        largest_increase: Points by which a canary's weight may rise in one change, 1..100.
        introduce_together: A new version may start here in the change that starts it elsewhere.
        immutable_tags: Regular expressions; a tag that matches one whole is taken never to move.
        may_differ: Settings of the stack file that may differ between regions: `*` stands for one key, `**` for all below, and
            `services.*.versions.*` for a version that one region has and another has not.
        waived: Ids of rules that need not hold here, each with the reason.
        pods_for_all_traffic: Pods that it takes to answer all requests; None for the replicas of the largest version.
        stable: The version that takes everything back in a rollback; None for the oldest one that has requests.
        freeze: When the region is left as it is, but for a way back.
    """

    largest_increase: int = 50
    introduce_together: bool = False
    immutable_tags: tuple[str, ...] = (SEMANTIC_VERSION,)
    may_differ: tuple[str, ...] = MAY_DIFFER
    waived: Mapping[str, str] = field(default_factory=dict)
    pods_for_all_traffic: int | None = None
    stable: str | None = None
    freeze: tuple[RecurringWindow, ...] = ()

    @classmethod
    def of(cls, rules: Mapping[str, Any], service: Mapping[str, Any]) -> Limits:
        """What a stack file's `rules` and a service say, by the file's own keys; what has no value there is the default's."""
        said = {**service, **rules}
        given: dict[str, Any] = {
            each.name: tuple(value) if isinstance(value, list) else value
            for each in fields(cls)
            if (value := said.get(to_camel(each.name))) is not None
        }
        given["freeze"] = tuple(map(RecurringWindow.of, given.get("freeze", ())))
        return cls(**given)


@dataclass(frozen=True)
class Region:
    """A region at one revision, as far as it concerns one of its services.

    Attributes:
        name: The region's name.
        service: The service's name.
        delivery: Who applies the workloads.
        workloads: What is applied of the service.
        settings: The stack file's settings by path, such as `services.echo.versions.v2.weight`, without those of other services;
            empty where they are not known.
        pulumi: What Pulumi itself registers; None where that is not known.
    """

    name: str
    service: str
    delivery: Delivery
    workloads: Workloads
    limits: Limits = Limits()
    settings: Mapping[str, object] = field(default_factory=dict)
    pulumi: frozenset[ObjectId] | None = None

    @classmethod
    def of(cls, file: Mapping[str, Any], service: str, workloads: Workloads) -> Region:
        """What a stack file says by its own keys, also those that it leaves out, and the workloads that are applied by it."""
        own = file["services"][service]
        settings = dict(leaves({**file, "services": {service: own}}, ""))
        return cls(file["region"], service, file["delivery"], workloads, Limits.of(file["rules"], own), settings)


def leaves(part: Mapping[str, object], above: str) -> Iterator[tuple[str, object]]:
    """Every value below an object by its path, such as `a.b`; `above` goes before each."""
    for key, value in part.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def istio_minor(settings: Mapping[str, object]) -> tuple[int, int] | None:
    """Istio's major and minor version; None where it is not known."""
    found = re.match(r"v?(\d+)\.(\d+)\.", str(settings.get("istio.version")))
    return (int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True)
class Change:
    """A service of a region at two revisions; None where there is no such service there.

    Attributes:
        proven: Version names, each with the images with which it once had all requests of this region, or was the stable one.
        region_goes: Where `after` is None: the whole region goes, and not this service alone.
        at: When it is to be made; None where that does not matter.
    """

    before: Region | None
    after: Region | None
    proven: Mapping[str, frozenset[str]] = field(default_factory=dict)
    region_goes: bool = False
    at: datetime | None = None

    @property
    def name(self) -> str:
        """The region's name."""
        return self._some.name

    @property
    def service(self) -> str:
        """The service's name."""
        return self._some.service

    @property
    def _some(self) -> Region:
        region = self.after or self.before
        assert region is not None, "a change is of some region"
        return region
