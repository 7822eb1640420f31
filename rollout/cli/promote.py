"""`rollout promote`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import typer

from rollout.cli.options import DryRun, JsonForTable, Proposal, RegionsFile, Remote, Service, WatchRate
from rollout.cli.terminal import UNREAD, print_json, results_console, told
from rollout.problem import RolloutError
from rollout.terms import Terms
from rollout.traffic.attack import DEFAULT_RATE

# ruff: noqa: PLC0415
if TYPE_CHECKING:
    from rollout.cli.clone import Clone
    from rollout.git.record import Promotion, Record

DEFAULT_STEPS = "10,25,50,100"
_BAKE = "2m"
_UNITS = {"s": 1, "m": 60, "h": 3600}
_LONGEST_BAKE_SECONDS = 12 * 3600
_STOPPED = "stopped: `rollout promote --resume` goes on with what is in progress, `rollout rollback` takes it back"


def promote(
    *,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="Which; left out with --resume.", show_default=False)
    ] = None,
    service: Service = None,
    steps: Annotated[
        str | None, typer.Option(metavar="W,W,…", help="Its weights, rising percents.", show_default=DEFAULT_STEPS)
    ] = None,
    regions: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME,…", help="One after the other.", show_default="all, in the order of their names"
        ),
    ] = None,
    bake: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long each step is watched at least: 90s, 2m, 1h.", show_default=_BAKE),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            metavar="W",
            help="Percent that the old ones keep until all regions are done.",
            show_default=str(Terms.keep),
            min=0,
            max=50,
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="How many points more of its requests may fail.",
            show_default=str(Terms.points),
            min=0.01,
            max=50,
        ),
    ] = None,
    slower: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            help="How many times as many may be slow (p50, p95, p99).",
            show_default=str(Terms.ratio),
            min=1.1,
            max=100,
        ),
    ] = None,
    longest: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long a step may take to be proven; then it stops.", show_default="10m"),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(
            metavar="W", help="Stop well once this step is proven in a region; --resume goes on.", show_default=False
        ),
    ] = None,
    until_region: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Stop well once this region is done; --resume goes on.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the promotion that Git has in progress.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Promote it although its image was taken back before.")
    ] = False,
    before_step: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CMD",
            help="Runs before each step and must succeed; may be given more than once.",
            show_default=False,
        ),
    ] = None,
    notify: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Tell this address what happens (apprise); may be given more than once.",
            show_default=False,
        ),
    ] = None,
    branch: Proposal = None,
    remote: Remote = None,
    rate: WatchRate = DEFAULT_RATE,
    regions_file: RegionsFile = None,
    dry_run: DryRun = False,
    as_json: JsonForTable = False,
) -> None:
    """Promote a version step by step, region after region.

    Each step is proven before the next.
    First it looks in all regions for what would keep a step, or its way back, from arriving, and refuses to begin where there is such,
    or where a freeze window is open (rules.freeze); one that opens later stops it before its next step.
    A step is committed on top of the branch that Argo CD follows and pushed. It is proven when Argo CD has synced it, every Envoy
    has acknowledged it, the measured shares are within two points, and the version is shown to be within its margins of the old ones
    over the same requests: how many fail, and how many are slow. False-alarm rate of a run: at most 0.1 %. A version that is shown
    to be worse is taken back in all regions at once: it gets weight 0, and is not removed. The way back is tried until it is through;
    only Ctrl-C ends it, and SIGTERM once its commit is pushed; SIGHUP does not. A version whose image was taken back before is refused,
    with the reason from Git, without --again.
    With --until W it stops with 0 as soon as step W is proven in the region where it stands, with --until-region NAME once that region
    is done; nobody watches the regions then. --resume measures all of them again, proves that step once more, and goes on: to the
    end, or until what the new run names (with the same W it stops there again).
    A command of --before-step is run by sh -c, for an hour at most, and finds ROLLOUT_SERVICE, ROLLOUT_VERSION, ROLLOUT_REGION,
    ROLLOUT_WEIGHT (what the step gives) and ROLLOUT_COMMIT (what the step goes on top of) in its environment. If it fails, the
    promotion stops where it is. Git does not keep it: say it again with --resume.
    An address of --notify gets a line, with a link to the commit, when the promotion begins, takes a step, is doubted and taken back,
    and ends. A line that cannot be sent is printed, and changes nothing.
    All that a promotion has come to is in the messages of its commits, or with --branch in their notes
    (git log --notes='refs/notes/rollout/*' --grep Rollout-); your files are moved forward if nothing uncommitted is lost.

    \b
    Exit codes:
      0    every step was proven, or all up to --until or --until-region
      1    a step failed, and all was taken back: every Envoy has acknowledged it
      2    refused, or it stopped where it is: --resume goes on, `rollout rollback` takes it back; or a region is not known
           to have the way back: `rollout rollback` sees to it
      70   a fault of rollout itself: what was done stays done
      130  stopped by Ctrl-C (143 SIGTERM, 129 SIGHUP) where it is
    """
    from rollout.cli.clone import opened
    from rollout.cli.output import promotion as promotion_report
    from rollout.cli.output.notification import Notifications, commit_link, receivers
    from rollout.promote import promotion as engine
    from rollout.promote.preflight import refuse_troubles

    with told(_STOPPED) as messages:
        how = [steps, regions, bake, keep, margin, slower, longest]
        _refuse_confusion(version, resume=resume, told=how, alone=dry_run or again)
        with opened(messages, service, remote, branch, regions_file=regions_file, names=_listed(regions)) as found:
            terms = _terms(keep, margin, slower, longest)
            plan, resumed = (
                _resumed(found) if resume else (_begun(found, version or "", steps, bake, terms, again=again), None)
            )
            stop, told_too = _until(until, plan), receivers(notify or ())
            _refuse_elsewhere(plan, until_region)
            previewed = () if resumed else engine.preview(found.upstream, plan)
            if dry_run:
                results_console().print(promotion_report.preview_table(previewed))
                return
            # the remote has answered: if it does not now, it may soon
            upstream = found.upstream.on_the_way()
            tip = upstream.tip()
            known = replace(found, upstream=upstream).at(tip)
            where = known.accesses(plan.regions)
            refuse_troubles(upstream.repository.project, where, plan.service, tip, upstream.say)
            with Notifications(told_too, messages.print) as notifications:
                address = upstream.repository.address(upstream.remote)
                options = engine.RunOptions(
                    before_step or (),
                    stop,
                    until_region,
                    lambda line, commit: notifications.tell(f"{line} ({commit_link(address, commit)})"),
                )
                ended = engine.promote(upstream, known.clusters(plan.regions, rate), plan, resumed, options)
    # the code says whether a version that was taken back is so everywhere
    with suppress(*UNREAD if ended.undone else ()):
        if as_json:
            print_json(promotion_report.ended_as_json(ended))
        else:
            promotion_report.print_ended(results_console(), ended)
    raise typer.Exit(promotion_report.exit_code(ended))


def _begun(found: Clone, version: str, steps: str | None, bake: str | None, terms: Terms, *, again: bool) -> Promotion:
    from rollout.git.record import Promotion
    from rollout.promote.upstream import refuse_promotion

    tip = found.upstream.tip()
    refuse_promotion(found.upstream.last_promotion(tip))
    promotion = Promotion(
        # two that begin at the same commit cannot both push
        id=f"{found.upstream.service}-{version}-{tip[:12]}",
        service=found.upstream.service,
        version=version,
        steps=_rising(steps or DEFAULT_STEPS),
        regions=found.regions(tip),
        bake_seconds=_seconds("--bake", bake or _BAKE),
        before=tip,
        terms=terms,
    )
    if not again:
        found.upstream.refuse_taken_back(promotion)
    return promotion


def _until(step: int | None, plan: Promotion) -> int | None:
    if step is not None and step not in plan.steps:
        raise RolloutError.of(
            f"--until {step}: this is no step of the promotion",
            "it stops after a step",
            f"name one of its steps: {', '.join(map(str, plan.steps))}",
        )
    return None if step is None else plan.terms.weight(step)


def _refuse_elsewhere(plan: Promotion, region: str | None) -> None:
    if region is not None and region not in plan.regions:
        raise RolloutError.of(
            f"--until-region {region}: the promotion does not go through it",
            "it stops after one of its own",
            f"name one of them: {', '.join(plan.regions)}",
        )


def _terms(keep: int | None, margin: float | None, slower: float | None, longest: str | None) -> Terms:
    usual = Terms()
    return Terms(
        keep=usual.keep if keep is None else keep,
        points=margin or usual.points,
        ratio=slower or usual.ratio,
        longest_seconds=_seconds("--longest", longest) if longest else usual.longest_seconds,
    )


def _resumed(found: Clone) -> tuple[Promotion, tuple[str, Record]]:
    from rollout.git.record import PromotionState

    newest = found.upstream.last_promotion(found.upstream.tip())
    if newest is None or newest[1].state is not PromotionState.IN_PROGRESS:
        last = f"the last one, {newest[1].promotion.id}, is {newest[1].state}" if newest else "there never was one"
        raise RolloutError.of(
            f"no promotion of {found.upstream.service} is in progress: {last}",
            "there is nothing to go on with",
            "begin one: rollout promote VERSION",
        )
    entry, record = newest
    return record.promotion, (entry.commit, record)


def _refuse_confusion(version: str | None, *, resume: bool, told: Sequence[object], alone: bool) -> None:
    if resume and (version or any(each is not None for each in told) or alone):
        raise RolloutError.of(
            "--resume stands beside a version, --again, --dry-run or an option that says how to promote",
            "a promotion goes on as it began, and its commits say how that was",
            "leave them out, or roll it back and begin another",
        )
    if not resume and not version:
        raise RolloutError.of(
            "no version is named", "promote gives the weights to one version", "name it: rollout promote v2"
        )


def _listed(regions: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in (regions or "").split(","))))


def _rising(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    weights = tuple(int(word) for word in words if re.fullmatch(r"[0-9]{1,3}", word))
    rises = all(low < high for low, high in pairwise(weights))
    if len(weights) != len(words) or not rises or not 1 <= weights[0] <= weights[-1] <= 100:
        raise RolloutError.of(
            f"--steps {text}: these are not rising percents in 1..100",
            "each step gives the version more",
            f"write for instance {DEFAULT_STEPS}",
        )
    return weights


def _seconds(option: str, text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,6})([smh])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else -1
    if not 0 <= seconds <= _LONGEST_BAKE_SECONDS:
        raise RolloutError.of(
            f"{option} {text}: this is no time of at most 12h",
            "each step takes so long",
            "write for instance 90s, 2m or 1h",
        )
    return seconds
