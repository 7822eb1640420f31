"""What can keep a region from being measured, said so that a person can act on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self, TypeVar

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in the three parts that a reader needs.

    Attributes:
        what: What is wrong, with its place (file, stack, region) and the value found there.
        why: Why that keeps the command from its work; empty where `what` says all three parts already, as of a stack file.
        fix: What to do about it; empty as `why` is.
    """

    what: str
    why: str = ""
    fix: str = ""

    def __str__(self) -> str:
        if not self.why and not self.fix:
            return self.what
        return f"{self.what}\n  why it matters: {self.why}\n  what to do: {self.fix}"


class RolloutError(Exception):
    """All the problems found together; at least one."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems

    @classmethod
    def of(cls, what: str, why: str = "", fix: str = "") -> Self:
        """One problem; its parts are those of `Problem`."""
        return cls(Problem(what, why, fix))


class TransientError(RolloutError):
    """What did not answer or was busy: the same thing may go through when it is tried again."""


def refuse(problems: Iterable[Problem]) -> None:
    """Raises the problems, all of them together; nothing where there are none."""
    if found := tuple(problems):
        raise RolloutError(*found)


def first_line(text: str | None) -> str:
    """What a library says, short enough for a message."""
    lines = (text or "").strip().splitlines()
    return lines[0][:300] if lines else "no reason given"


def or_problems(ask: Callable[[], _Value], problems: list[Problem]) -> _Value | None:
    """An answer; None where there is none, and then the problems are added to those that there are."""
    try:
        return ask()
    except RolloutError as error:
        problems.extend(error.problems)
        return None
