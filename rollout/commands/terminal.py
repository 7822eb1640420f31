"""What all verbs do with a terminal: messages to stderr, results to stdout, exit codes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from rollout.problem import Problem

DIFFERS = 1
"""It was looked at, and it is not as it should be."""
UNUSABLE = 2
"""Wrong usage, or something that is needed cannot be used."""
INTERRUPTED = 130
"""Stopped by Ctrl-C, as a shell says it."""

# Lines to a pipe or a file are as long as they are; a table must not be folded at the 80 columns of no terminal.
_PLAIN_COLUMNS = 200


def print_problems(messages: Console, problems: Sequence[Problem]) -> None:
    """Each problem with its reason and its mend."""
    for problem in problems:
        messages.print(f"error: {problem}")


def messages_console() -> Console:
    """Where a person is told what goes on."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def results_console() -> Console:
    """Where what was asked for is printed."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_COLUMNS)
