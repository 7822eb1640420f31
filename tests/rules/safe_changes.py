"""What people do to a service that is in order: each of these changes is safe, and none may be refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from rules.facts.region import Change, Limits, Region
from rules.facts.windows import RecurringWindow
from rules.facts.workloads import Delivery
from tests.rules.edits import with_settings
from tests.rules.good import GATEWAY, Wanted, region, versions

DELIVERIES: tuple[Delivery, ...] = ("gitops", "direct", "handover")
Life = Sequence[Mapping[str, Wanted]]
"""What a stack file says of the versions, one commit after the other."""


@dataclass(frozen=True)
class Safe:
    """A change of all regions that nobody may refuse."""

    name: str
    changes: tuple[Change, ...]


_OTHER_IMAGE = "registry.corp.local/echo:2.0.1"
_LIVES: Mapping[str, Life] = {
    "a version comes, takes over step by step, and the old one goes in two steps": [
        versions(v1=100),
        versions(v1=100, v2=0),
        versions(v1=95, v2=5),
        versions(v1=75, v2=25),
        versions(v1=50, v2=50),
        versions(v1=0, v2=100),
        versions(v2=100),
    ],
    "a version comes without requests, rests without pods, and wakes": [
        versions(v1=100),
        versions(v1=100, v2=0),
        {"v1": Wanted(100), "v2": Wanted(0, replicas=0)},
        versions(v1=100, v2=0),
        versions(v1=90, v2=10),
    ],
    "a version comes with one pod, and gets more of them with its first requests": [
        versions(v1=100),
        {"v1": Wanted(100), "v2": Wanted(0, replicas=1)},
        {"v1": Wanted(95), "v2": Wanted(5, replicas=3)},
    ],
    "a version is aborted, and goes": [versions(v1=50, v2=50), versions(v1=100, v2=0), versions(v1=100)],
    "everything returns to the stable version at once": [versions(v1=1, v2=99), versions(v1=100, v2=0)],
    "two canaries at a time, one of which gives way": [
        versions(v1=90, v2=10),
        versions(v1=90, v2=10, v3=0),
        versions(v1=85, v2=10, v3=5),
        versions(v1=80, v2=0, v3=20),
        versions(v1=80, v3=20),
    ],
    "a third version comes as the second goes": [
        versions(v1=50, v2=50, v3=0),
        versions(v1=75, v2=0, v3=25),
        versions(v1=75, v3=25, v4=0),
    ],
    "more pods, and fewer": [
        versions(v1=90, v2=10),
        {"v1": Wanted(90, replicas=6), "v2": Wanted(10)},
        {"v1": Wanted(90, replicas=6), "v2": Wanted(10, replicas=4)},
        versions(v1=90, v2=10),
    ],
    "a new image without requests": [
        versions(v1=100, v2=0),
        {"v1": Wanted(100), "v2": Wanted(0, image=_OTHER_IMAGE)},
        {"v1": Wanted(90), "v2": Wanted(10, image=_OTHER_IMAGE)},
    ],
    "a new image under requests": [
        versions(v1=90, v2=10),
        {"v1": Wanted(90), "v2": Wanted(10, image=_OTHER_IMAGE)},
    ],
    "an image by its digest": [
        versions(v1=100, v2=0),
        {"v1": Wanted(100), "v2": Wanted(0, image=f"registry.corp.local/echo@sha256:{'0123456789abcdef' * 4}")},
    ],
    "a version in the tens": [versions(v9=100, v10=0), versions(v9=90, v10=10), versions(v9=50, v10=50)],
    "pods go from a version before it gets requests": [
        versions(v1=100, v2=0),
        {"v1": Wanted(100), "v2": Wanted(0, replicas=1)},
        {"v1": Wanted(99), "v2": Wanted(1, replicas=1)},
    ],
    "a canary of two pods beside ten": [
        {"v1": Wanted(100, replicas=10)},
        {"v1": Wanted(100, replicas=10), "v2": Wanted(0, replicas=2)},
        {"v1": Wanted(95, replicas=10), "v2": Wanted(5, replicas=2)},
    ],
    "testers look at a version before it gets requests, and until the old one goes": [
        {"v1": Wanted(100)},
        {"v1": Wanted(100), "v2": Wanted(0, testers=True)},
        {"v1": Wanted(100, testers=True), "v2": Wanted(0, testers=True)},
        {"v1": Wanted(90, testers=True), "v2": Wanted(10, testers=True)},
        {"v1": Wanted(50, testers=True), "v2": Wanted(50, testers=True)},
        {"v1": Wanted(0, testers=True), "v2": Wanted(100, testers=True)},
        {"v1": Wanted(0), "v2": Wanted(100, testers=True)},
        {"v2": Wanted(100, testers=True)},
        {"v2": Wanted(100)},
    ],
    "a version rests without testers, and wakes with them": [
        {"v1": Wanted(100), "v2": Wanted(0, testers=True)},
        versions(v1=100, v2=0),
        {"v1": Wanted(100), "v2": Wanted(0, replicas=0)},
        {"v1": Wanted(100), "v2": Wanted(0, testers=True)},
    ],
    "testers ask for all versions at once, of which one rests": [
        {"v1": Wanted(100), "v2": Wanted(0, replicas=0)},
        {"v1": Wanted(100, testers=True), "v2": Wanted(0, replicas=0, testers=True)},
        {"v1": Wanted(100, testers=True), "v2": Wanted(0, testers=True)},
    ],
    "a few percents more, and a few less": [
        versions(v1=99, v2=1),
        versions(v1=98, v2=2),
        versions(v1=98, v2=2, v3=0, v4=0),
        versions(v1=95, v2=2, v3=2, v4=1),
        versions(v1=97, v2=2, v3=1, v4=0),
        versions(v1=98, v2=2, v3=0, v4=0),
        versions(v1=52, v2=48),
        versions(v1=60, v2=40),
        versions(v1=99, v2=1),
    ],
}


def safe_changes() -> Iterator[Safe]:
    """Every safe change, by each who may deliver it."""
    for (name, life), delivery in product(_LIVES.items(), DELIVERIES):
        yield from _lived(name, life, delivery)
    yield from _returns()
    yield from _deliveries()
    yield from _limits()
    yield from _platform()
    yield from _regions()
    yield from _services()


def _lived(name: str, life: Life, delivery: Delivery) -> Iterator[Safe]:
    """Each commit in one region, while the other stays where the first began."""
    kept = region("region-b", life[0], delivery=delivery)
    for step, (before, after) in enumerate(pairwise(life), 1):
        change = Change(region("region-a", before, delivery=delivery), region("region-a", after, delivery=delivery))
        yield Safe(f"{name}: step {step} by {delivery}", (change, Change(kept, kept)))


def _returns() -> Iterator[Safe]:
    """To a version that had all requests before, at once, in one region or everywhere; where its pods are gone they come first."""
    proven = {"v1": frozenset({"registry.corp.local/echo:1.0.0"})}
    for names in (("region-a",), ("region-a", "region-b")):
        for step, life in {
            "that is ready": (versions(v1=0, v2=100), versions(v1=100, v2=0)),
            "without pods: they come": ({"v1": Wanted(0, replicas=0), "v2": Wanted(100)}, versions(v1=0, v2=100)),
            "that is gone: it comes": (versions(v2=100), versions(v1=0, v2=100)),
        }.items():
            before, after = life
            changes = tuple(Change(region(one, before), region(one, after), proven) for one in names)
            yield Safe(f"everything returns to a version {step} in {' and '.join(names)}", changes)
    everywhere = tuple(
        Change(region(one, versions(v1=60, v2=40)), region(one, versions(v1=100, v2=0))) for one in ("a", "b", "c")
    )
    yield Safe("a canary is aborted in all regions at once", everywhere)


def _deliveries() -> Iterator[Safe]:
    ways: tuple[Delivery, ...] = ("gitops", "handover", "direct", "handover", "gitops")
    for before, after in pairwise(ways):
        yield Safe(f"who delivers: {before} → {after}", (Change(region(delivery=before), region(delivery=after)),))


def _limits() -> Iterator[Safe]:
    for limits in (
        Limits(largest_increase=10),
        Limits(largest_increase=100),
        Limits(stable="v1"),
        Limits(pods_for_all_traffic=2),
        Limits(waived={"increase-limited": "a drill"}),
        Limits(freeze=(RecurringWindow("0 18 * * 5", "62h", reason="nobody is at work"),)),
    ):
        yield Safe(f"limits become {limits}", (Change(region(), region(limits=limits)),))
    drill = Limits(waived={"increase-limited": "a drill"})
    before, after = region(limits=drill), region(wanted=versions(v1=0, v2=100), limits=drill)
    yield Safe("what was waived in a commit before", (Change(before, after),))
    together = Limits(introduce_together=True)
    for old, new in pairwise((versions(v1=100), versions(v1=100, v2=0), versions(v1=90, v2=10))):
        yield Safe(
            f"a version that starts everywhere where all agreed before, {old} → {new}",
            tuple(
                Change(region(name, old, limits=together), region(name, new, limits=together))
                for name in ("region-a", "region-b")
            ),
        )


def _platform() -> Iterator[Safe]:
    for setting, value in (
        ("istio.version", "1.32.0"),
        ("istio.version", "1.31.2"),
        ("istio.version", "1.30.4"),
        ("argocd.cascade", True),
        ("argocd.manifest", "https://mirror.corp.local/install.yaml"),
        ("mesh.meshId", "other"),
        ("istio.values.meshConfig.accessLogFile", "/dev/stdout"),
        ("istio.values.global.tag", "1.31.1-distroless"),
        ("istio.values.pilot.replicaCount", 3),
        ("istio.values.autoscaleEnabled", False),
        ("istio.values.pilot.env.ENABLE_NATIVE_SIDECARS", True),
        ("istio.values.sidecarInjectorWebhook.neverInjectSelector", []),
        ("istio.values.compatibilityVersion", "1.30"),
    ):
        after = with_settings(region(), **{setting.replace(".", "__"): value})
        other = region("region-b")
        yield Safe(f"{setting} becomes {value} in one region", (Change(region(), after), Change(other, other)))
    domains: tuple[tuple[str, list[str]], ...] = (
        ("old.local", []),
        ("old.local", ["new.local"]),
        ("new.local", ["old.local"]),
        ("new.local", []),
    )
    for (old, old_aliases), (new, new_aliases) in pairwise(domains):
        before, after = (
            with_settings(region(), mesh__trustDomain=it, istio__values__meshConfig__trustDomainAliases=aliases)
            for it, aliases in ((old, old_aliases), (new, new_aliases))
        )
        yield Safe(
            f"a trust domain changes by its alias: {old} {old_aliases} → {new} {new_aliases}", (Change(before, after),)
        )


def _regions() -> Iterator[Safe]:
    old = region("region-a")
    for versions_there in (versions(v1=100), versions(v1=90, v2=10), versions(v1=0, v2=100), versions(v3=100)):
        new = region("region-b", versions_there)
        yield Safe(f"a region comes with {', '.join(versions_there)}", (Change(old, old), Change(None, new)))
    announced = region("region-b", limits=Limits(waived={"region-removed": "moved to region-c"}))
    yield Safe("a region goes that was announced to go", (Change(old, old), Change(announced, None, region_goes=True)))
    yield Safe("the first commit of all", (Change(None, old), Change(None, region("region-b"))))
    raised = region("region-a", versions(v1=80, v2=20))
    lowered = region("region-b", versions(v1=95, v2=5))
    yield Safe("one region goes on as the other goes back", (Change(old, raised), Change(region("region-b"), lowered)))
    for name, old_versions, new_versions in (
        ("a version comes to both regions without requests", versions(v1=100), versions(v1=100, v2=0)),
        ("two versions come to both regions without requests", versions(v1=100), versions(v1=100, v2=0, v3=0)),
        ("a version without requests goes from both regions", versions(v1=100, v2=0), versions(v1=100)),
    ):
        both = tuple(Change(region(it, old_versions), region(it, new_versions)) for it in ("region-a", "region-b"))
        yield Safe(name, both)
    yield Safe("pods come to both regions", tuple(_scaled(name) for name in ("region-a", "region-b")))


def _services() -> Iterator[Safe]:
    echo, web = region(), region(service="web")
    kept = Change(echo, echo)
    introduced = region(service="web", wanted=versions(v1=90, v2=10, v3=0))
    yield Safe("a service comes beside another", (kept, Change(None, web)))
    yield Safe("two services stay as they are", (kept, Change(web, web)))
    yield Safe("a version comes to one of two services", (kept, Change(web, introduced)))
    yield Safe(
        "a version comes to one service as one of its name goes from the other",
        (
            Change(region(wanted=versions(v1=90, v2=10, v3=0)), echo),
            Change(web, introduced),
        ),
    )
    for old, new, what in (
        (versions(v1=90, v2=10), versions(v1=75, v2=25), "rises"),
        (versions(v1=100, v2=0), versions(v1=90, v2=10), "gets its first requests"),
    ):
        changes = (
            Change(region("region-a", old), region("region-a", new)),
            *(Change(it, it) for it in (region("region-b", old), region("region-a", old, service="web"))),
            Change(region("region-b", old, service="web"), region("region-b", new, service="web")),
        )
        yield Safe(f"a version {what} in one region, and one of its name of another service elsewhere", changes)
    for name in ("region-removed", "service-removed"):
        announced = region(service="web", limits=Limits(waived={name: "nobody asks it any more"}))
        own = region(limits=announced.limits)
        goes = name == "region-removed"
        yield Safe(
            f"a service goes by {name} that was announced to go",
            (Change(own, None if goes else own, region_goes=goes), Change(announced, None, region_goes=goes)),
        )
    shared = [region(service=name, namespace="shop") for name in ("cart", "cart-api")]
    yield Safe("two services share a namespace", tuple(Change(None, each) for each in shared))
    for before, after in pairwise((region(), region(gateway=GATEWAY), region())):
        yield Safe(f"clients outside ask at {after.workloads.virtual_services[0].gateways}", (Change(before, after),))
    own_drain = region(sleep_seconds=20)
    yield Safe("a service comes whose pods the kubelet lets sleep", (Change(None, own_drain),))


def _scaled(name: str) -> Change:
    before: Region = region(name)
    return Change(before, replace(before, workloads=region(name, {"v1": Wanted(90, 5), "v2": Wanted(10, 3)}).workloads))
