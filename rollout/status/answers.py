"""Answers that are asked for side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from rollout.problem import Problem, RolloutError

_Value = TypeVar("_Value")

_WAKE_SECONDS = 0.2


def await_all(asked: Collection[Future[Any]]) -> None:
    """Returns when each answer is there, or why it is not."""
    # a wait without an end misses a Ctrl-C that comes just before it begins to sleep
    while wait(asked, timeout=_WAKE_SECONDS).not_done:
        pass


def or_problems(ask: Callable[[], _Value], problems: list[Problem]) -> _Value | None:
    """An answer; None where there is none, and then the problems are added to those that there are."""
    try:
        return ask()
    except RolloutError as error:
        problems.extend(error.problems)
        return None
