"""What all verbs do with a terminal: messages to stderr, results to stdout, exit codes."""

from __future__ import annotations

import json
import signal
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from rollout.problem import Problem, RolloutError

DIFFERS = 1
"""It was looked at, and it is not as it should be."""
UNUSABLE = 2
"""Wrong usage, or something that is needed cannot be used."""
FAULT = 70
"""`rollout` itself failed, as sysexits.h says it (EX_SOFTWARE): what is so of the regions is not known to it."""
SIGNALLED = 128
"""Stopped by a signal, whose number is added, as a shell says it: 130 by Ctrl-C."""

UNREAD = (OSError, SystemExit)
"""What comes of printing where nobody reads any more, as on a terminal that is gone; rich leaves by the second."""

PUSHED_GOES_ON = "stopped; what was pushed goes on: see rollout status"
"""What to say of a Ctrl-C when Argo CD may have a commit already."""

# Lines to a pipe or a file are as long as they are; a table must not be folded at the 80 columns of no terminal.
_PLAIN_COLUMNS = 200


@contextmanager
def told(interrupted: str) -> Iterator[Console]:
    """Ends the command with its exit code where what a block needs cannot be used, or Ctrl-C is pressed, and says so.

    SIGTERM and SIGHUP end it as Ctrl-C does, but for SIGHUP under `nohup`. The block gets the console where that is said.

    Args:
        interrupted: What to say of a Ctrl-C.

    Raises:
        typer.Exit: with 2, or 128 and the signal's number.
    """
    messages = messages_console()
    try:
        with _as_interruptions(signal.SIGTERM, signal.SIGHUP):
            yield messages
    except RolloutError as error:
        with suppress(*UNREAD):
            print_problems(messages, error.problems)
        raise typer.Exit(UNUSABLE) from error
    except KeyboardInterrupt as error:
        with suppress(*UNREAD):
            messages.print(interrupted)
        number = next(iter(error.args), signal.SIGINT)
        raise typer.Exit(SIGNALLED + number) from error
    finally:
        # a thread that hangs has not taken away what shows how far it is
        with suppress(*UNREAD):
            messages.show_cursor()


@contextmanager
def _as_interruptions(*numbers: signal.Signals) -> Iterator[None]:
    """Has signals that would end the process raise KeyboardInterrupt with their number, so that a block ends what it has begun."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    # only the main thread gets signals
    is_ours = threading.current_thread() is threading.main_thread()
    ours = [number for number in numbers if is_ours and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def told_fault(error: BaseException) -> typer.Exit:
    """Says what nobody expected, with where it came from; how to end then."""
    problem = Problem(
        f"rollout itself failed: {type(error).__name__}: {error}",
        "what it had done until then stays as it is, and what it would have done is not done",
        "see where the regions are (rollout status); a promotion goes on with `rollout promote --resume`, or back with `rollout "
        "rollback`; report the lines above",
    )
    # where nobody reads any more, the code is all that is left
    with suppress(*UNREAD):
        traceback.print_exception(error)
        print_problems(messages_console(), [problem])
    return typer.Exit(FAULT)


def messages_console() -> Console:
    """The console for messages: standard error."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def print_problems(messages: Console, problems: Sequence[Problem]) -> None:
    """Each problem with its reason and its mend."""
    for problem in problems:
        messages.print(f"error: {problem}")


def results_console() -> Console:
    """Where what was asked for is printed."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_COLUMNS)


def print_json(value: Mapping[str, Any]) -> None:
    """What a program reads."""
    typer.echo(json.dumps(value, indent=2))


def new_table(*left: str, right: Sequence[str] = ()) -> Table:
    """A table without a frame, with these headings: first those of words, then those of numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for heading in left:
        table.add_column(heading, no_wrap=heading == "region")
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
