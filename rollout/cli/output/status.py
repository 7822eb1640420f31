"""What a person and what a program get to read of a status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rollout.cli.output.verification import application_json
from rollout.cli.terminal import DIFFERS, UNUSABLE, new_table
from rollout.cluster.application import Application
from rollout.cluster.envoys import Envoy
from rollout.cluster.objects import Live
from rollout.cluster.pods import FEW
from rollout.git.command import SHORT_HASH
from rollout.git.record import PromotionState, Record
from rollout.git.repository import Entry
from rollout.status.disagreements import Disagreement, RegionStatus, Status, Weights, all_disagreements, ejected
from rollout.status.preflight import Trouble, troubles

_NOTHING = "-"
_UNKNOWN = "of an unknown version"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def exit_code(status: Status) -> int:
    """0 if all agree, 1 if some do not, 2 if something could not be seen."""
    if any(region.unseen for region in status.regions):
        return UNUSABLE
    return DIFFERS if all_disagreements(status) or troubles(status) else 0


def print_status(console: Console, status: Status) -> None:
    """The table, Argo CD's words, Istio's versions, the promotion, and a line for each that disagrees."""
    console.print(_table(status))
    console.print()
    for region in status.regions:
        title = f"{region.name} {region.service}"
        if region.application:
            console.print(Text(f"{title}: {_delivery(region.application)}"))
        if region.live and region.envoys:
            console.print(Text(f"{title}: {_istio(region.live, region.envoys)}"))
        if region.others:
            everyone = FEW + len(region.others)
            console.print(
                Text(f"{title}: asked {FEW} of {everyone:,} Envoys, chosen at random, of each workload one first")
            )
    for promotion in status.promotions:
        console.print(Text(_promotion(*promotion)))
    for each in all_disagreements(status):
        console.print(Text(line(each, status.at), style="red"))
    for trouble in troubles(status):
        console.print(Text(str(trouble.titled), style="red"))
    if exit_code(status) == 0:
        console.print(Text("all agree", style="green"))


def line(disagreement: Disagreement, now: datetime) -> str:
    """A disagreement in a line: where, what, since when, and by whom."""
    since = f", since {_time(disagreement.since)} ({_ago(disagreement.since, now)})" if disagreement.since else ""
    by = f", by {disagreement.by}" if disagreement.by else ""
    title = f"{disagreement.region} {disagreement.service}".rstrip()
    return f"{title}: {disagreement.what}{since}{by}"


def as_json(status: Status) -> dict[str, Any]:
    """The same for a program. Weights are percents by version, without a key where nothing is said; times are ISO 8601.

    One that `stops` keeps `rollout introduce`, `promote` and `retire` from beginning.
    """
    return {
        "at": status.at.isoformat(),
        "head": status.head,
        "agrees": exit_code(status) == 0,
        "regions": [_region_json(region) for region in status.regions],
        "promotions": [_promotion_json(*promotion) for promotion in status.promotions],
        "disagreements": [
            *(_disagreement_json(each) for each in all_disagreements(status)),
            *(_trouble_json(each) for each in troubles(status)),
        ],
    }


def _table(status: Status) -> Table:
    table = new_table(
        "region", "service", "version", right=("stack file", "Git", "cluster", "Envoys", "ready", "ejected")
    )
    for region in status.regions:
        for version in region.versions:
            table.add_row(*_cells(region, version))
        table.add_section()
    return table


def _cells(region: RegionStatus, version: str) -> tuple[Text, ...]:
    pods = region.live.pods.get(version) if region.live else None
    number, by = ejected(region.envoys, version) if region.envoys else (0, "")
    columns = (
        region.name,
        region.service,
        version or "(all pods)",
        _weight(region.declared.stack, version),
        _weight(region.declared.git, version),
        _weight(region.live_weights, version),
        _NOTHING if region.envoys is None else _acknowledged(region.envoys, version),
        f"{pods.ready} of {pods.wanted}" if pods else _NOTHING,
        _NOTHING if region.envoys is None else f"{number} by {by}" if number else "0",
    )
    return tuple(map(Text, columns))


def _weight(weights: Weights | None, version: str) -> str:
    return f"{weights[version]} %" if weights and version in weights else _NOTHING


def _acknowledged(envoys: Sequence[Envoy], version: str) -> str:
    """The weights by which the Envoys route to a version, and how many do so, the most first."""
    routed = Counter((envoy.weights or {}).get(version, 0) for envoy in envoys if envoy.weights is not None)
    return ", ".join(f"{weight} % ({number} of {len(envoys)})" for weight, number in routed.most_common()) or _NOTHING


def _delivery(application: Application) -> str:
    at = application.synced_revision
    return f"Argo CD: {application.sync}, {application.health}, {f'at {at[:SHORT_HASH]}' if at else 'never synced'}"


def _istio(live: Live, envoys: Sequence[Envoy]) -> str:
    known = Counter(envoy.istio or _UNKNOWN for envoy in envoys)
    told = ", ".join(f"{version} ({number} of {len(envoys)})" for version, number in known.most_common())
    return f"Istio: istiod {' and '.join(sorted(live.istiod)) or _UNKNOWN}, Envoys {told}"


def _promotion(entry: Entry, record: Record) -> str:
    promotion = record.promotion
    reason = f": {record.reason}" if record.reason else ""
    steps = ", ".join(map(str, promotion.steps))
    return (
        f"promotion of {promotion.service} {promotion.version} {record.state.value} ({record.region} at {record.weight} of {steps}; "
        f"{', '.join(promotion.regions)}), by {entry.author} at {_time(entry.at)}, {entry.commit[:SHORT_HASH]}{reason}"
    )


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _ago(at: datetime, now: datetime) -> str:
    seconds = max(0, int((now - at).total_seconds()))
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name} ago"
    return f"{seconds} s ago"


def _region_json(region: RegionStatus) -> dict[str, Any]:
    declared, live = region.declared, region.live
    return {
        "region": region.name,
        "service": region.service or None,
        "context": region.context,
        "delivery": declared.delivery,
        "weights": {
            "stack": declared.stack,
            "git": declared.git,
            "synced": region.synced,
            "cluster": region.live_weights,
        },
        "changed": _change_json(region),
        "pods": {version: {"wanted": pods.wanted, "ready": pods.ready} for version, pods in live.pods.items()}
        if live
        else None,
        "istiod": sorted(live.istiod) or None if live else None,
        "envoys": None if region.envoys is None else [_envoy_json(envoy) for envoy in region.envoys],
        "envoysNotAsked": len(region.others),
        "application": application_json(region.application) if region.application else None,
        "problems": [asdict(problem) for problem in region.unseen],
    }


def _disagreement_json(each: Disagreement) -> dict[str, Any]:
    return {
        "region": each.region,
        "service": each.service or None,
        "what": each.what,
        "since": each.since.isoformat() if each.since else None,
        "by": each.by or None,
        "why": None,
        "fix": None,
        "stops": False,
    }


def _trouble_json(each: Trouble) -> dict[str, Any]:
    return {
        "region": each.region,
        "service": each.service or None,
        "since": None,
        "by": None,
        **asdict(each.problem),
        "stops": each.stops,
    }


def _change_json(region: RegionStatus) -> dict[str, str] | None:
    changed = region.live.route.changed if region.live and region.live.route else None
    return {"by": changed.manager, "at": changed.at.isoformat()} if changed else None


def _envoy_json(envoy: Envoy) -> dict[str, Any]:
    said = {"error": envoy.error or None, "istio": envoy.istio or None, "workload": envoy.workload or None}
    return {**asdict(envoy), "testers": sorted(envoy.testers), "subsets": sorted(envoy.subsets), **said}


def _promotion_json(entry: Entry, record: Record) -> dict[str, Any]:
    return {
        **asdict(record.promotion),
        "state": record.state.value,
        "active": record.state is PromotionState.IN_PROGRESS,
        "region": record.region,
        "weight": record.weight,
        "commit": entry.commit,
        "author": entry.author,
        "at": entry.at.isoformat(),
        "reason": record.reason,
    }
