"""A promotion's state as Git keeps it: the trailers of its commits, or of their notes. Pure.

Each of them says all of a promotion: what was promised at the start, how far it is, and the proof on which it went on. The
newest one is the state; nothing else is kept anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from rollout.measurement import Tally
from rollout.problem import RolloutError
from rollout.terms import Terms
from stackfile.keys import ONLY_SERVICE

MARK = "Rollout-Promotion: "
"""In every message with a record; in another only where somebody quotes one."""

_PREFIX = "Rollout-"
OF_SERVICE = f"{_PREFIX}Service: "
"""In every message with a record, before the name of its service; not in those from before there were several services."""
OF_VERSION = f"{_PREFIX}Version: "
"""In every message with a record, before the name of the version."""
_LINE = re.compile(r"(?P<key>[A-Za-z][A-Za-z0-9-]*): (?P<value>.*)")
_RULE = re.compile(r"-+")
_WHY = "a promotion is resumed or undone by what its commits say"
_FIX = (
    "see it with `git log --notes='refs/notes/rollout/*' --grep=Rollout-`; undo the promotion by a commit of your own "
    "(rollout set), and start it anew"
)
_PROOF = re.compile(
    r"(?P<region>\S+) (?P<version>\S+) at weight (?P<weight>\d+): (?P<share>[\d.]+) % of (?P<requests>\d+) requests, "
    r"within (?P<low>[\d.]+)\.\.(?P<high>[\d.]+) %, in (?P<seconds>[\d.]+) s; "
    r"failed: \S+ (?P<new_failures>\d+) of (?P<new_requests>\d+), "
    r"(?P<old_version>\S+) (?P<old_failures>\d+) of (?P<old_requests>\d+)"
)
_Value = TypeVar("_Value")


class PromotionState(StrEnum):
    """How far a promotion is."""

    IN_PROGRESS = "in progress"
    DONE = "done"
    ROLLED_BACK = "rolled back"
    ENDED = "ended"


@dataclass(frozen=True)
class Proof:
    """What was measured before a promotion went on.

    Attributes:
        region: Where.
        version: The one that is promoted.
        weight: Its weight then, a percent.
        requests: All requests that the share was measured with.
        share: The version's part of them, 0..1; written to a hundredth of a percent.
        interval: Where the share can be, 0..1 each, at the risk of a verdict; written as `share` is.
        new: The version's requests over the bake time, and how many failed.
        old: The same of the one that it is compared with.
        old_version: The name of that.
        seconds: How long all of it took; written to a tenth.
    """

    region: str
    version: str
    weight: int
    requests: int
    share: float
    interval: tuple[float, float]
    new: Tally
    old: Tally
    old_version: str
    seconds: float

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.region} {self.version} at weight {self.weight}: {self.share * 100:.2f} % of {self.requests} requests, "
            f"within {low * 100:.2f}..{high * 100:.2f} %, in {self.seconds:.1f} s; "
            f"failed: {self.version} {self.new.failures} of {self.new.requests}, "
            f"{self.old_version} {self.old.failures} of {self.old.requests}"
        )


@dataclass(frozen=True)
class Promotion:
    """What was promised when a promotion began.

    Attributes:
        id: Tells it from every other.
        service: The service whose version it is.
        version: The one that is promoted.
        steps: Its weights, percents, in their order.
        regions: In their order.
        bake_seconds: How long each step is watched.
        before: The full hash of the commit from before it.
        terms: What the version is judged by.
    """

    id: str
    service: str
    version: str
    steps: tuple[int, ...]
    regions: tuple[str, ...]
    bake_seconds: int
    before: str
    terms: Terms = field(default_factory=Terms)

    @property
    def weights(self) -> tuple[int, ...]:
        """What the version gets in each region until all are done, percents in their order."""
        return tuple(dict.fromkeys(map(self.terms.weight, self.steps)))


@dataclass(frozen=True)
class Record:
    """What one commit of a promotion says.

    Attributes:
        promotion: Which.
        state: How far it is with this commit.
        region: The one that this commit changes, or that was proven last.
        weight: The version's weight there with this commit, a percent.
        proof: Of the step before; None before there is one.
        reason: Why it was rolled back or ended before it was done, in one line; "" where there is nothing to say.
    """

    promotion: Promotion
    state: PromotionState
    region: str
    weight: int
    proof: Proof | None = None
    reason: str = ""


def message(subject: str, record: Record) -> str:
    """A commit's message: the subject, and the record as trailers, a line each, for people and for `parse`."""
    promotion = record.promotion
    trailers = {
        "Promotion": promotion.id,
        "Service": promotion.service,
        "Version": promotion.version,
        "Steps": ",".join(map(str, promotion.steps)),
        "Regions": ",".join(promotion.regions),
        "Bake": f"{promotion.bake_seconds}s",
        "Before": promotion.before,
        "Terms": str(promotion.terms),
        "State": record.state.value,
        "Region": record.region,
        "Weight": str(record.weight),
        "Proof": str(record.proof) if record.proof else "",
        # for people: the weight of the proof says it too
        "Compared": "with nothing" if record.proof and record.proof.weight == 100 else "",
        "Reason": _in_one_line(record.reason),
    }
    lines = [f"{_PREFIX}{key}: {value}" for key, value in trailers.items() if value]
    return f"{_in_one_line(subject)}\n\n" + "\n".join(lines) + "\n"


def parse(text: str) -> Record | None:
    """The record in a commit's message: the inverse of `message`. None where there is none.

    What other tools add is passed over: trailers of theirs, and what a squashed merge puts before or after.

    Raises:
        RolloutError: there are trailers of ours that make no record.
    """
    found = _trailers(text)
    if not found:
        return None
    promotion = Promotion(
        id=_needed(found, "Promotion", _text),
        # a promotion from before there were several services does not name its own
        service=_needed(found, "Service", _text) if "Service" in found else ONLY_SERVICE,
        version=_needed(found, "Version", _text),
        steps=_needed(found, "Steps", _listed(_percent)),
        regions=_needed(found, "Regions", _listed(_text)),
        bake_seconds=_needed(found, "Bake", _seconds),
        before=_needed(found, "Before", _text),
        # one from before versions were compared gives all to the new one at once
        terms=_needed(found, "Terms", Terms.parse) if "Terms" in found else Terms(keep=0),
    )
    return Record(
        promotion,
        state=_needed(found, "State", PromotionState),
        region=_needed(found, "Region", _text),
        weight=_needed(found, "Weight", _percent),
        proof=_needed(found, "Proof", _proof) if "Proof" in found else None,
        reason=found.get("Reason", [""])[0],
    )


def _needed(trailers: Mapping[str, list[str]], key: str, read: Callable[[str], _Value]) -> _Value:
    values = trailers.get(key, [])
    if len(values) != 1:
        raise RolloutError.of(f"{_PREFIX}{key} is there {len(values)} times, not once", _WHY, _FIX)
    try:
        return read(values[0])
    except ValueError as error:
        raise RolloutError.of(
            f"{_PREFIX}{key}: {values[0]!r} is not what a promotion writes there", _WHY, _FIX
        ) from error


def _in_one_line(text: str) -> str:
    """Without line breaks, which would end a trailer and begin one of whoever wrote the text, and what no terminal shows."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _trailers(text: str) -> dict[str, list[str]]:
    """Our trailers by their keys without the prefix: those of the last paragraph that is not made up by other tools alone."""
    _subject, *paragraphs = re.split(r"\n\s*\n", text.rstrip())
    for paragraph in reversed(paragraphs):
        lines = [line.rstrip() for line in paragraph.splitlines()]
        matches = [_LINE.fullmatch(line) for line in lines]
        ours: dict[str, list[str]] = {}
        for match in matches:
            if match and match["key"].startswith(_PREFIX):
                ours.setdefault(match["key"].removeprefix(_PREFIX), []).append(match["value"])
        of_others = all(match or _RULE.fullmatch(line) for match, line in zip(matches, lines, strict=True))
        if ours or not of_others:
            return ours
    return {}


def _text(value: str) -> str:
    if not value or value.split() != [value]:
        raise ValueError("not one word")
    return value


def _listed(read: Callable[[str], _Value]) -> Callable[[str], tuple[_Value, ...]]:
    return lambda value: tuple(map(read, value.split(",")))


def _percent(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", value) or int(value) > 100:
        raise ValueError("no percent")
    return int(value)


def _seconds(value: str) -> int:
    if not re.fullmatch(r"[0-9]+s", value):
        raise ValueError("no seconds")
    return int(value.removesuffix("s"))


def _proof(value: str) -> Proof:
    found = _PROOF.fullmatch(value)
    if found is None:
        raise ValueError("no proof")
    return Proof(
        region=found["region"],
        version=found["version"],
        weight=_percent(found["weight"]),
        requests=int(found["requests"]),
        share=_share(found["share"]),
        interval=(_share(found["low"]), _share(found["high"])),
        new=Tally(int(found["new_requests"]), int(found["new_failures"])),
        old=Tally(int(found["old_requests"]), int(found["old_failures"])),
        old_version=found["old_version"],
        seconds=float(found["seconds"]),
    )


def _share(percent: str) -> float:
    return round(float(percent) / 100, 4)
