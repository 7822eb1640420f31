"""How commands end while a version that fails is taken back, whatever else fails meanwhile, and what a person types then."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from rollout.git.record import PromotionState
from rollout.git.repository import Repository
from rollout.problem import RolloutError
from tests.rollout.repository import Repository as Work

MOST_COMMANDS = 4
"""That are typed in a round; during the last one all is well but the version."""
WITHOUT_END = -1000
"""In the place of the exit code of a command that does not end."""
_ENDS_A_WAY_BACK = (
    r"main is protected|^error: Pulumi|"
    r"echo v2 ended: region-\w+ was changed by somebody else meanwhile: "
    r"(\w+ by test: Write; )*\w+ by test: Fewer pods"
)
"""Words of what needs a person: the remote refuses, the clone's stack files cannot be used, or the colleague changed the region."""


def is_over(verb: str, code: int) -> bool:
    """Whether a command has taken the version back everywhere, as its exit code says."""
    return code == (1 if verb == "promote" else 0)


def typed_next(state: PromotionState, random: Random) -> list[str]:
    """What a person types after a command that was not through, by what Git says of the promotion."""
    goes_on = state is PromotionState.IN_PROGRESS and random.random() < 0.5
    return ["promote", "--resume"] if goes_on else ["rollback"]


def of_a_command(
    verb: str, code: int, said: str, state: PromotionState | None, regions_with_requests: Callable[[], Sequence[str]]
) -> list[str]:
    """What is wrong with how a command ended.

    Args:
        verb: `promote` or `rollback`.
        code: Its exit code.
        said: What it printed.
        state: Of the promotion, as Git has it; None where none has begun.
        regions_with_requests: Those in which v2 still has requests.
    """
    if code == WITHOUT_END:
        return ["it does not end"]
    if "Traceback" in said:
        return ["an exception"]
    taken_back = state is PromotionState.ROLLED_BACK
    if is_over(verb, code):
        wrong = [] if taken_back else ["the record does not say that it is taken back"]
        wrong += [f"{region} has requests" for region in regions_with_requests()]
        back = re.findall(r"(region-\w+): v1 100 %, v2 0 % by", said)
        return wrong + [f"{region} is not told" for region in back if f"{region}: v1 100 %, v2 0 % after" not in said]
    if code == 2:
        is_back = verb == "rollback" or ": v2 failed: " in said
        has_ended = taken_back or re.search(_ENDS_A_WAY_BACK, said)
        wrong = ["the way back is given up"] if is_back and not has_ended else []
        wrong += [] if re.search(r"error: (?s:.+)  what to do: | ended: |error: Pulumi", said) else ["no words"]
        named = "\n".join(line for line in said.splitlines() if "error: " in line or "NOT known" in line)
        # a push of a command that was killed may land later; --resume is refused then, and does not look
        untold = regions_with_requests() if taken_back and is_back else ()
        return wrong + [f"{region} is not told" for region in untold if region not in named]
    if code in (-signal.SIGKILL, 130, 128 + signal.SIGTERM, 128 + signal.SIGHUP):
        return [] if code < 0 or "stopped" in said else ["no words"]
    return [f"exit code {code}"]


def of_a_clone(clone: Path) -> list[str]:
    """What is wrong with what is left of a clone."""
    wrong = []
    try:
        with Repository(clone).locked("echo"):
            pass
    except RolloutError:
        wrong.append(f"{clone.name} is locked")
    wrong += [f"{lock} is left" for lock in (clone / ".git").rglob("*.lock") if lock.name != "rollout-echo.lock"]
    if dirty := Work(clone).git("status", "--porcelain"):
        wrong.append(f"{clone.name} is changed: {dirty}")
    return wrong
