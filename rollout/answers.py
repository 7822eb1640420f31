"""Answers that are asked for side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")

_WAKE_SECONDS = 0.2
_STOP: ContextVar[threading.Event] = ContextVar("stop")


@contextmanager
def stopped_by(stop: threading.Event) -> Iterator[None]:
    """Once an event is set, nobody waits for what a block does: Git and execs that run for it are ended, and no other begins."""
    before = _STOP.set(stop)
    try:
        yield
    finally:
        _STOP.reset(before)


def stop_of_this_work() -> threading.Event:
    """Set when nobody waits any more for what this thread does."""
    return _STOP.get(None) or threading.Event()


def ask_all(
    ask: Callable[[_Item], _Value], items: Sequence[_Item], most_at_once: int | None = None
) -> list[Future[_Value]]:
    """Asks for the answer of each item, in order; so many at the same time at most.

    Nobody has to wait for what hangs: the threads are no pool's, whose end, and the interpreter's, would. What stops this work
    (`stopped_by`) stops theirs.
    """
    answers: list[Future[_Value]] = [Future() for _ in items]
    # a list's iterator gives each item to one thread
    left = iter([*zip(items, answers, strict=True)])

    def work() -> None:
        for item, answer in left:
            try:
                answer.set_result(ask(item))
            except BaseException as error:
                answer.set_exception(error)

    for _ in range(min(most_at_once or len(items), len(items))):
        threading.Thread(target=copy_context().run, args=(work,), name="ask", daemon=True).start()
    return answers


def await_all(asked: Collection[Future[Any]]) -> None:
    """Returns when each answer is there, or why it is not."""
    # a wait without an end misses a Ctrl-C that comes just before it begins to sleep
    while wait(asked, timeout=_WAKE_SECONDS).not_done:
        pass
