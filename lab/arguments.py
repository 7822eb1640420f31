"""The words of `python -m lab`, and their help. Standard library alone, so that no help installs anything."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lab import mark
from lab.place import Lab

# what follows them goes on word for word: also `--`, and options that we have too
PASS_ON = ("pulumi", "kubectl", "go")
NEED_A_LAB = ("status", "pulumi", "kubectl")


def parse(words: Sequence[str], lab: Lab) -> argparse.Namespace:
    """What is asked for: `verb` and its options; `words` of those of `PASS_ON`.

    Raises:
        SystemExit: the help was asked for and is printed, or the words are wrong.
    """
    asks_for_help = words[1:2] in (["--help"], ["-h"]) and not mark.is_up(lab.directory)
    if words[:1] and words[0] in PASS_ON and not asks_for_help:
        return argparse.Namespace(verb=words[0], words=list(words[1:]))
    parser = _parser([region.name for region in lab.regions])
    if not words:
        parser.print_help()
        parser.exit(2)
    return parser.parse_args(words)


def _parser(regions: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="Two real Kubernetes clusters on this machine that act as regions, without Docker.",
        epilog="Exit codes: 0 all is well, 1 something is not, 2 it could not be tried, 130 interrupted.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND", title="commands")

    def verb(name: str, what: str, more: str = "") -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=what, description=f"{what}{more}", allow_abbrev=False)

    up = verb(
        "up",
        "Bring both regions up, or repair them.",
        " Tools, clusters, HEAD pushed, `pulumi up`, Argo CD's sync, the measured split.",
    )
    up.add_argument("--region", action="append", choices=regions, help="Only this region; may be given more than once.")
    up.add_argument("--clusters-only", action="store_true", help="Stop when the clusters are ready: no pulumi up.")
    up.add_argument("--no-verify", dest="verify", action="store_false", help="Do not measure the split at the end.")
    verb("down", "End and remove everything of the lab but its logs and the cache.")
    status = verb("status", "Say what is well and what is not, with the last lines of what is not.")
    status.add_argument("--json", dest="as_json", action="store_true", help="For programs.")
    logs = verb(
        "logs",
        "Show the log of a region's component.",
        " Logs of pods: `python -m lab kubectl --context region-a logs …`.",
    )
    logs.add_argument("component", nargs="?", help="For example kubelet; without it, the logs are listed.")
    logs.add_argument(
        "--region", choices=[*regions, "hub"], default=regions[0], help="Whose; hub for what serves both."
    )
    logs.add_argument("--follow", "-f", action="store_true", help="Go on as it grows.")
    logs.add_argument("--lines", type=_count, default=50, help="How many, from the end (default: 50).")
    verb("pulumi", "Run the real Pulumi CLI in the lab.", " As in `python -m lab pulumi preview -s region-a`.")
    verb(
        "kubectl",
        "Run kubectl on the lab's clusters.",
        " As in `python -m lab kubectl --context region-b get pods -A`.",
    )
    verb("go", "Run the Go that the lab builds with.", " As in `python -m lab go -C app/echo test ./...`.")
    return parser


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no number of lines: write 1 or more")
    return int(word)
