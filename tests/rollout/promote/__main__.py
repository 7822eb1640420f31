"""Plays rounds of faults and prints a table of them: `python -m tests.rollout.promote`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.rollout.promote.faults import KINDS, Round, play


def main(arguments: Sequence[str]) -> int:
    """Plays rounds of each kind of fault; 1 where one of them ended wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.rollout.promote", description=main.__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"all, or some of: {', '.join(KINDS)}")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, metavar="NUMBER", help="of the first round")
    chosen = parser.parse_args(arguments)
    all_right = True
    print("| fault | rounds | it came in | ended right | commands | tries | seconds |")
    print("|---|---|---|---|---|---|---|")
    for kind in chosen.kinds or KINDS:
        rounds = [_played(kind, number) for number in range(chosen.first, chosen.first + chosen.rounds)]
        right = sum(not each.wrong for each in rounds)
        most = max(len(each.codes) for each in rounds), max(each.tries for each in rounds)
        longest = max(each.seconds for each in rounds)
        met = sum(each.met for each in rounds)
        print(f"| {kind} | {len(rounds)} | {met} | {right} | {most[0]} | {most[1]} | {longest:.0f} |", flush=True)
        all_right = all_right and right == len(rounds)
    return 0 if all_right else 1


def _played(kind: str, number: int) -> Round:
    with TemporaryDirectory(prefix="rollout-faults-") as directory:
        played = play(kind, number, Path(directory))
    if played.wrong:
        print(f"{kind}, round {number}: {'; '.join(played.wrong)}\n{played.said}", file=sys.stderr, flush=True)
    return played


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
