"""`rollout rollback`."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from rollout.cli.options import AsJson, Proposal, RegionsFile, Remote, Service, WatchRate
from rollout.cli.terminal import DIFFERS, PUSHED_GOES_ON, UNREAD, UNUSABLE, print_json, results_console, told
from rollout.problem import RolloutError
from rollout.traffic.attack import DEFAULT_RATE

# ruff: noqa: PLC0415
if TYPE_CHECKING:
    from rollout.git.record import Record
    from rollout.promote.upstream import Upstream


def rollback(
    *,
    service: Service = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the commit.")] = "by hand",
    branch: Proposal = None,
    remote: Remote = None,
    rate: WatchRate = DEFAULT_RATE,
    regions_file: RegionsFile = None,
    as_json: AsJson = False,
) -> None:
    """Take all requests from the version promoted last.

    The promotion may be in progress or done. One commit changes the weights in all its regions.
    Nothing is removed: the version stays with weight 0, and the others share the requests as they did
    before the promotion. A remote or a cluster that does not answer is tried again until it does, and a stack file that cannot be used
    until it is mended; only Ctrl-C ends that, and SIGTERM before the commit is made or once it is pushed; SIGHUP does not. It can be
    run again: it then sees that it is so in every region.

    \b
    Exit codes:
      0    taken back, acknowledged by every Envoy, and the regions hold
      1    taken back, and a region does not hold
      2    it could not be committed, delivered or measured
      70   a fault of rollout itself: what was done stays done
      130  stopped by Ctrl-C (143 SIGTERM; 129 SIGHUP before the remote is asked)
    """
    from rollout.cli.clone import opened
    from rollout.cli.output import promotion as promotion_report
    from rollout.git.record import PromotionState
    from rollout.promote.persistence import held
    from rollout.promote.promotion import confirm, roll_back, to_take_back

    with (
        told(PUSHED_GOES_ON) as messages,
        opened(messages, service, remote, branch, regions_file=regions_file, names=()) as found,
        held(signal.SIGHUP, found.upstream.on_the_way_back().say),
    ):
        upstream = found.upstream.on_the_way_back()
        tip = upstream.tip()
        record = upstream.tried(lambda: _newest(upstream, tip))
        clusters = upstream.tried(lambda: found.at(tip)).clusters(record.promotion.regions, rate)
        left = upstream.tried(lambda: to_take_back(upstream, tip, record))
        unusable = upstream.tried(lambda: upstream.problems(tip, record.promotion.regions))
        is_known = record.state is PromotionState.ROLLED_BACK or not unusable
        if record.state is PromotionState.IN_PROGRESS or left or not is_known:
            undone = roll_back(upstream, clusters, lambda tip: _left(upstream, tip), reason)
        else:
            where = "where the stack file can be used" if unusable else "everywhere"
            upstream.say(
                f"nothing to commit: {upstream.service} {record.promotion.version} has no requests {where}; sees that it is so"
            )
            services = upstream.services(tip)
            weights = {name: services[name].weights for name in record.promotion.regions if name in services}
            undone = confirm(upstream, clusters, tip, weights, time.monotonic())
            undone = replace(undone, problems=(*unusable, *undone.problems))
    with suppress(*UNREAD):
        if as_json:
            print_json({"service": upstream.service, **promotion_report.undone_as_json(undone)})
        else:
            promotion_report.print_undone(results_console(), undone)
    raise typer.Exit(0 if undone.holds else UNUSABLE if undone.problems else DIFFERS)


def _left(upstream: Upstream, tip: str) -> tuple[Record, Sequence[str]]:
    from rollout.promote.promotion import to_take_back

    record = _newest(upstream, tip)
    return record, to_take_back(upstream, tip, record)


def _newest(upstream: Upstream, tip: str) -> Record:
    newest = upstream.last_promotion(tip)
    if newest is None:
        raise RolloutError.of(
            f"there was no promotion of {upstream.service} to take back",
            "it says which version it was, and what there was before",
            "change the weights by hand: rollout set v1=100 --region …",
        )
    return newest[1]
