"""The branch that Argo CD follows: changes of regions are committed on top of it, judged, and pushed to it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import count
from typing import TypeVar

from rollout.answers import stop_of_this_work, stopped_by
from rollout.git.record import Promotion, PromotionState, Record, parse
from rollout.git.repository import Entry, OvertakenError, Repository, UnsignedError
from rollout.plan.comparison import OVERLAY_RENDERED, Plan
from rollout.plan.declaration import STACK_FILES, DeclaredRegion, Tree, declared, refuse_unusable
from rollout.plan.overlays import edited, weighed
from rollout.plan.plan import make_plan
from rollout.plan.report import as_text
from rollout.problem import Problem, RolloutError, TransientError, refuse
from rollout.promote.persistence import Persistence
from rules.change.freeze import OUTSIDE_FREEZE
from rules.finding import Finding, Severity
from stackfile.model import RegionConfig, ServiceConfig

_HISTORY = 1_000
"""Commits in which to look for whoever changed a region."""
_MERGED_WITHIN_SECONDS = 24 * 3600.0
_LOOK_EVERY_SECONDS = 5.0
_IN_PROGRESS = (
    "a promotion in progress goes on then (rollout promote --resume), and back at any time (rollout rollback)"
)
_MOST_OVERTAKEN = 5
_PATIENCE_SECONDS = 60.0
_NOTE_PAUSES_SECONDS = (0.5, 2.0)
"""Between the attempts to push a note: no more of them, as the requests wait."""
_SURE_LOOKS = 2
"""Looks in a row that do not find a branch until it counts as deleted."""
_REMEMBERED = 64
_EDITED = "Edited-Service: "
"""In each message of a commit that brings or takes a version, before its service, the verb and the version."""
_JUDGED = (STACK_FILES, "*.py", "requirements.txt", "deploy")
"""With the overlays, wherever they are, all that a change is judged by; patterns of Git."""

_Value = TypeVar("_Value")


class InterferenceError(RolloutError):
    """Somebody else changed what is being changed."""


@dataclass(frozen=True)
class JudgedCommit:
    """A commit that no branch has yet.

    Attributes:
        commit: Its full hash.
        service: The service that it changes.
        files: What it changes, by paths in the project; None for a file that goes.
        plan: What it does to the requests; None where it edits no region.
    """

    commit: str
    service: str
    files: Mapping[str, bytes | None]
    plan: Plan | None

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Why the rules refuse it; what they say of another service is no reason."""
        found = self.plan.findings if self.plan else ()
        return tuple(each for each in found if each.severity is Severity.REFUSED and each.service in ("", self.service))


def commit_files(
    repository: Repository,
    parent: str,
    service: str,
    files: Mapping[str, Mapping[str, bytes | None]],
    message: str,
    *,
    alone: bool = False,
    at: datetime | None = None,
    way_back: bool = False,
) -> JudgedCommit:
    """Commits what differs in regions, and judges it.

    Args:
        repository: The project's.
        parent: The commit that it is on top of, by its full hash.
        service: The service that is changed.
        files: New contents by path in the project, None for a file that goes; by region. Without any the commit is an empty one.
        message: The commit's.
        alone: Whether these regions are judged without the others, whose stack files need not be usable then.
        at: When it is to be made; None for now.
        way_back: Whether it may come at any time.

    Raises:
        RolloutError: a stack file cannot be used, or a region is frozen.
    """
    changed = {path: content for each in files.values() for path, content in each.items()}
    commit = repository.commit(parent, changed, message)
    plan = make_plan(repository, parent, commit, list(files), alone=alone, at=at) if files else None
    if plan and not way_back:
        _refuse_frozen(plan)
    return JudgedCommit(commit, service, changed, plan)


def _refuse_frozen(plan: Plan) -> None:
    refuse(
        Problem(f"{each.region}: {each.where}: {each.what}", each.reason, f"{each.mend}; {_IN_PROGRESS}")
        for each in plan.findings
        if each.rule_id == OUTSIDE_FREEZE.id and each.waived is None
    )


@dataclass(frozen=True)
class Upstream:
    """The branch that is delivered, and how a service is changed by it.

    Attributes:
        repository: The project's.
        service: The service's name.
        remote: Where pushes go.
        branch: What Argo CD follows there.
        proposal: A branch to push to instead, where people or checks stand before the other one; None to push to it.
        say: Told in a line what goes on.
        pause: Waits for so many seconds before something is tried again.
        patience_seconds: For how long what did not answer is tried again.
        now: Tells the time.
    """

    repository: Repository
    service: str
    remote: str
    branch: str
    proposal: str | None
    say: Callable[[str], None]
    pause: Callable[[float], object] = field(default=time.sleep, repr=False)
    patience_seconds: float = 0.0
    now: Callable[[], datetime] = field(default=partial(datetime.now, UTC), repr=False)

    @property
    def persistent(self) -> bool:
        """Whether it does not give up; then others may be first as often as they like, and no freeze holds."""
        return self.patience_seconds == math.inf

    def on_the_way(self) -> Upstream:
        """The same, but what does not answer is tried again for a minute: for a remote that has answered before."""
        return replace(self, patience_seconds=_PATIENCE_SECONDS)

    def on_the_way_back(self) -> Upstream:
        """The same, but it does not give up: only a person does, and what cannot succeed. A terminal that is gone ends nothing."""

        def say(line: str) -> None:
            # rich ends the program where nobody reads any more
            with suppress(OSError, SystemExit):
                self.say(line)

        return self if self.persistent else replace(self, say=say, patience_seconds=math.inf)

    def tried(self, attempt: Callable[[], _Value]) -> _Value:
        """What an attempt returns, once it is through.

        Raises:
            TransientError: it is not, within our patience.
        """
        return Persistence(self.say, self.pause, self.patience_seconds).until_through(attempt)

    def tip(self) -> str:
        """The commit that is to be delivered now; its full hash. Asks the remote.

        Raises:
            TransientError: the remote does not answer.
            RolloutError: it has no such branch.
        """
        return self.tried(self._fetched)

    def _fetched(self) -> str:
        if self.repository.shallow:
            self.say("this clone is shallow: fetches the history that it lacks")
        return self.repository.fetch(self.remote, self.branch)

    def last_promotion(self, tip: str) -> tuple[Entry, Record] | None:
        """The newest commit of a promotion of it, with what it says; None where there was none.

        Args:
            tip: The commit that is to be delivered now.

        Raises:
            RolloutError: the history is not all here, or the commit says something that cannot be read.
        """
        self.repository.refuse_cut(tip)
        # the run that proposed it may have been cut off before the merge
        proposed = self._proposed()
        if proposed and self._is_step(*self.repository.log(proposed, 1)):
            self._keep_record(proposed, self.landed(proposed, tip))
        with self._told():
            self.repository.push_notes(self.remote, self.service)
        return self.repository.newest_record(tip, self.service)

    def regions(self, commit: str) -> Mapping[str, RegionConfig]:
        """What a commit declares of the regions that have the service, by their names; of those whose stack file can be used.

        Raises:
            RolloutError: none can be used.
        """
        found = regions_at(self.repository, commit)
        return {name: config for name, config in found.items() if self.service in config.services}

    def services(self, commit: str) -> Mapping[str, ServiceConfig]:
        """What a commit declares of the service, by region; of those whose stack file can be used, if any can."""
        found = {each.name: each.config.services for each in declared(self.repository.at(commit)) if each.config}
        return {name: services[self.service] for name, services in found.items() if self.service in services}

    def weights(self, commit: str, region: str) -> dict[str, int]:
        """The service's weights in a region at a commit, whole percents by version.

        Raises:
            RolloutError: there is no such region, or its stack file cannot be used.
        """
        return self.declared(commit, region).weights

    def declared(self, commit: str, region: str) -> ServiceConfig:
        """What a commit declares of the service in a region.

        Raises:
            RolloutError: it is not there, or the region's stack file cannot be used.
        """
        regions = self.regions(commit)
        if region not in regions:
            refuse_unusable(self._unusable(commit, [region]))
            raise RolloutError.of(
                f"{region}: there is no region of this name with the service {self.service} at {commit[:10]}",
                "only what a commit declares is delivered",
                f"there are: {', '.join(regions) or 'none'}",
            )
        return regions[region].services[self.service]

    def problems(self, commit: str, regions: Sequence[str]) -> list[Problem]:
        """Why some regions cannot be changed on top of a commit: their stack files cannot be used."""
        return [Problem(problem) for each in self._unusable(commit, regions) for problem in each.problems]

    def _unusable(self, commit: str, regions: Sequence[str]) -> list[DeclaredRegion]:
        return [each for each in declared(self.repository.at(commit)) if each.problems and each.name in regions]

    def contains(self, commit: str, tip: str) -> bool:
        """Whether a commit is another one or in its history; fetches what is new before it says no.

        Raises:
            RolloutError: the remote does not answer.
        """
        if self.repository.contains(commit, tip):
            return True
        self.tip()
        return self.repository.contains(commit, tip)

    def shifted(self, parent: str, weights: Mapping[str, Mapping[str, int]], message: str) -> str:
        """A commit on top of another that gives regions these weights; pushed nowhere yet, and judged.

        Args:
            parent: The other one, by its full hash.
            weights: Whole percents by version, by region. Where nothing changes, the commit is an empty one.
            message: The commit's.

        Raises:
            RolloutError: the rules refuse it, or a stack file cannot be used.
        """

        tree, back = self.repository.at(parent), self.persistent
        files = {name: weighed(tree, name, self.service, split, back=back) for name, split in weights.items()}
        return self._commit(parent, files, message)

    def edited(
        self, parent: str, edits: Mapping[str, Callable[[str], str]], message: str, why: str, *, strict: bool = False
    ) -> str:
        """A commit on top of another for which the stack files of regions are edited; pushed nowhere yet, and judged.

        Args:
            parent: The other one, by its full hash.
            edits: Makes the stack file's new text from the old, by region.
            message: The commit's.
            why: The verb and the version, `retire v2`: while nobody has merged it, the same verb proposes another commit in its place.
            strict: Whether what the rules refuse of another service counts as well: a new object may have the name of one of its own.

        Raises:
            RolloutError: the rules refuse it, a stack file cannot be used, or an edit refuses.
        """
        tree = self.repository.at(parent)
        files = {region: edited(tree, region, self.service, edit) for region, edit in edits.items()}
        return self._commit(parent, files, f"{message}\n\n{_EDITED}{self.service} {why}\n", strict=strict)

    def placed(self, make: Callable[[str], str]) -> str:
        """As `placed_unless`, whatever is found meanwhile."""
        placed = self.placed_unless(make, lambda: None)
        assert not isinstance(placed, Problem), "nothing is found"
        return placed

    def placed_unless(self, make: Callable[[str], str], found: Callable[[], Problem | None]) -> str | Problem:
        """Pushes a commit; returns what has it on the branch that is delivered, at once or merged by somebody.

        Where there is a branch of proposals, a commit that changes no file waits for nobody: what it says is noted of the branch's tip.

        Args:
            make: Makes the commit on top of what is delivered now. Called again when somebody else pushed meanwhile, and with what is
                delivered then where it raises a `TransientError`.
            found: Called every few seconds while it waits to be merged, and before each push that would be tried again for a while; a
                problem that it finds ends that, and is returned.

        Raises:
            RolloutError: `make` does; the remote refuses it; others push without an end; it is not merged within a day, or its branch is
                deleted before; or somebody else changed the same regions meanwhile.
        """
        judged, again = "", make

        def on_top() -> tuple[str, str]:
            nonlocal judged, again
            tip = self._fetched()
            if not judged or self._concerns(judged, tip):
                judged, again = tip, make
            return tip, again(tip)

        for times in count(1):
            tip, made = self._made(on_top)
            if self.proposal and not self.tried(partial(self.repository.differs, made, tip, ())):
                self._keep_record(made, tip)
                return tip
            try:
                delivered = self.tried(partial(self._published_unless, made, tip, found))
                if self.proposal and isinstance(delivered, str):
                    delivered = self._await_merge(self.proposal, delivered, tip, found)
            except OvertakenError:
                # not a line each time: with others who push all the time it may take many
                if times.bit_count() == 1:
                    self.say(f"somebody pushed to {self.proposal or self.branch} meanwhile; makes it anew ({times})")
                if times == _MOST_OVERTAKEN and not self.persistent:
                    break
                # takes a tenth of the time, and so gets in where others push all the time
                again = self.tried(partial(self.repository.replayed, made))
                continue
            if isinstance(delivered, str):
                self._follow(delivered)
            return delivered
        raise RolloutError.of(
            f"{_MOST_OVERTAKEN} times in a row somebody else pushed to {self.proposal or self.branch} first",
            "a commit goes on top of what is there",
            "go on when it is quiet; if it is a branch of an earlier step, delete it once it is merged",
        )

    def _made(self, make: Callable[[], _Value]) -> _Value:
        """A commit; without a signature where only a person could sign it, and requests would wait for that."""
        try:
            return self.tried(make)
        except UnsignedError as error:
            if not self.persistent:
                raise
            self.say(f"{error.problems[0].what}; goes without a signature, if {self.remote} takes that")
            self.repository.signs = False
            return self.tried(make)

    def _published_unless(self, made: str, tip: str, found: Callable[[], Problem | None]) -> str | Problem:
        # in a minute without an answer a version can have begun to fail, and a freeze window have opened
        if 0 < self.patience_seconds < math.inf:
            if problem := found():
                return problem
            if changed := [*self._changed(tip, made, self.regions(made))]:
                try:
                    _refuse_frozen(make_plan(self.repository, tip, made, changed, at=self.now()))
                except RolloutError:
                    # it may be there already, where the answer to its push was lost
                    if self.proposal or self.repository.tip(self.remote, self.branch) != made:
                        raise
        return self._published(made, tip)

    def _published(self, made: str, tip: str) -> str:
        """Pushes a commit; the commit that the branch has then: one that was proposed before and says the same, or this one."""
        if not self.proposal:
            # not on what somebody has set back meanwhile: it would bring again what they removed
            self.repository.push(made, self.remote, self.branch, onto=tip)
            return made
        there = self._proposed()
        if there and self.repository.contains(tip, there) and self._says(there) == self._says(made):
            return there
        # what promotions of it proposed there before is over, and so is what was merged; somebody else's work is not lost
        proposed = self.repository.log(f"{tip}..{there}", _HISTORY) if there else ()
        (ours,) = self.repository.log(made, 1)
        is_over = all(self._replaces(ours, each) for each in proposed) or self.repository.adds_nothing(there, tip)
        onto = there if is_over else None
        self.repository.push(made, self.remote, self.proposal, onto=onto)
        return made

    def _replaces(self, ours: Entry, proposed: Entry) -> bool:
        """Whether our commit may take the place of one that was proposed; a way back waits for no version that comes or goes."""
        edits = self._edits(proposed)
        return self._is_step(proposed) or (bool(edits) and (self.persistent or edits == self._edits(ours)))

    def _is_step(self, entry: Entry) -> bool:
        record = parse(entry.message)
        return record is not None and record.promotion.service == self.service

    def _edits(self, entry: Entry) -> list[str]:
        return [line for line in entry.message.splitlines() if line.startswith(f"{_EDITED}{self.service} ")]

    def refuse_taken_back(self, promotion: Promotion) -> None:
        """Refuses to promote what was taken back before, and is still the same image in some region.

        A record of a promotion of which no step came, and that took nothing back, only kept one from coming that was being pushed.

        Raises:
            RolloutError: the version was taken back, with who did it and why.
        """
        version = promotion.version
        now = self._images(promotion.before, promotion.regions, version)
        found = self.repository.newest_record(promotion.before, self.service, version)
        while found and found[1].state is PromotionState.ROLLED_BACK:
            entry, record = found
            parent, began = self.repository.resolved("the commit below", f"{entry.commit}^"), record.promotion.before
            same = now & self._images(entry.commit, record.promotion.regions, version)
            if not self._took(entry.commit, parent, version) and not self.promoted_since(began, parent):
                found = self.repository.newest_record(began, self.service, version)
                continue
            if not same:
                return
            raise RolloutError.of(
                f"{self.service} {version} was taken back on {entry.at:%Y-%m-%d} by {entry.commit[:10]} of {entry.author}: "
                f"{record.reason or 'no reason given'}",
                f"its image is the same as then: {', '.join(sorted(same))}",
                f"bring another image; or, where the reason is gone, promote it again: rollout promote {version} --again",
            )

    def _took(self, commit: str, parent: str, version: str) -> bool:
        """Whether a commit gives a version less of the requests in some region."""
        after, before = self.services(commit), self.services(parent)
        return any(
            service.weights.get(version, 0) > (after[region].weights.get(version, 0) if region in after else 0)
            for region, service in before.items()
        )

    def _images(self, commit: str, regions: Iterable[str], version: str) -> frozenset[str]:
        """What a version of the service runs in these regions at a commit, as far as it says so."""
        configs = [each.config for each in declared(self.repository.at(commit)) if each.name in regions]
        services = [config.services.get(self.service) for config in configs if config]
        return frozenset(each.images[version] for each in services if each and version in each.images)

    def promoted_since(self, ours: str, tip: str) -> Entry | None:
        """The newest commit of a promotion of it that is in the history of one commit and not of another; None if there is none."""
        found = self.repository.newest_record(f"{ours}..{tip}", self.service)
        return found[0] if found else None

    def landed(self, commit: str, tip: str) -> str | None:
        """The commit by which a branch has what was proposed: itself, or the first with the same weights; None where it has not.

        A squash or a rebase has another hash, another message, and what others changed besides.
        """
        if self.repository.contains(commit, tip):
            return commit
        parent = self.repository.resolved("the commit below", f"{commit}^")
        changed = self._changed(parent, commit, self.regions(commit))
        paths = sorted({path for each in changed.values() for path in each})
        wanted = self._split(commit, changed)
        since = self.repository.mainline(parent, tip, paths) if paths else ()
        return next((each for each in since if self._split(each, changed) == wanted), None)

    def left_alone(self, ours: str, tip: str, regions: Sequence[str]) -> list[str]:
        """Those of the regions that nobody else changed since our commit.

        Raises:
            InterferenceError: there is none; by which commits, and whose.
        """
        changed = self._changed(ours, tip, regions)
        left = [region for region in regions if region not in changed]
        if not left:
            self.refuse_changed_by_others(ours, tip, regions)
        return left

    def refuse_changed_by_others(self, ours: str, tip: str, regions: Iterable[str]) -> None:
        """Whoever changed what a region declares since our commit knows why, and so does whoever began to promote since then.

        Args:
            ours: The last commit that was ours.
            tip: What is delivered now.
            regions: The regions that must be as we left them.

        Raises:
            InterferenceError: some are not, or there is a commit of another promotion, whatever its regions; by which commits, and whose.
        """
        if ours == tip:
            return
        if promoted := self.promoted_since(ours, tip):
            raise InterferenceError.of(
                f"another rollout of {self.service} is at work: {promoted.commit[:10]} by {promoted.author}: {promoted.subject}",
                "two at once would take each other's weights",
                "wait until it is done, or roll it back; then begin anew",
            )
        self.refuse_different(ours, tip, regions)

    def refuse_different(self, ours: str, tip: str, regions: Iterable[str]) -> None:
        """As `refuse_changed_by_others`, but for promotions."""
        if changed := self._changed(ours, tip, regions):
            raise InterferenceError(*(self._by_whom(ours, tip, region, paths) for region, paths in changed.items()))

    def _changed(self, ours: str, tip: str, regions: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """Those of the regions that differ between two commits, each with all its files in both."""
        chosen = tuple(regions)
        before, after = self._files(ours, chosen), self._files(tip, chosen)
        return {
            region: frozenset({*before[region], *after[region]}) for region in chosen if before[region] != after[region]
        }

    def _commit(
        self, parent: str, files: Mapping[str, Mapping[str, bytes | None]], message: str, *, strict: bool = False
    ) -> str:
        # a stack file that somebody broke elsewhere keeps no way back from being made
        others = [each for each in declared(self.repository.at(parent)) if each.name not in files]
        alone = self.persistent and any(each.problems for each in others)
        at, way_back = self.now(), self.persistent
        change = commit_files(
            self.repository, parent, self.service, files, message, alone=alone, at=at, way_back=way_back
        )
        refused = change.refused
        if strict and change.plan:
            refused = tuple(each for each in change.plan.findings if each.severity is Severity.REFUSED)
        if refused and self.persistent:
            # what is wrong already is no reason to leave requests with a version that fails
            already = make_plan(self.repository, parent, parent, list(files), alone=alone).findings
            refused = tuple(each for each in refused if each not in already and each.rule_id != OVERLAY_RENDERED)
        if change.plan and refused:
            raise RolloutError.of(
                f"the rules refuse it:\n{as_text(change.plan)}",
                "it could lose requests",
                "mend what it says, or take other steps; nothing was pushed",
            )
        return change.commit

    def _follow(self, delivered: str) -> None:
        if stop_of_this_work().is_set():
            return
        try:
            # a merge that is ended half-way leaves files that nobody changed
            with stopped_by(threading.Event()):
                followed = self.repository.follow(delivered, self.branch)
        except TransientError:
            # it is pushed: what is checked out is for later
            followed = False
        if not followed:
            self.say(
                f"your branch and files stay as they are: they hold what {delivered[:10]} lacks; "
                "`git pull` when you are ready"
            )

    def _concerns(self, old: str, tip: str) -> bool:
        """Whether a commit that was made and judged on top of one could be another one on top of the other."""
        places = [
            region.overlays[name].place for region in declared(self.repository.at(old)) for name in region.overlays
        ]
        return self.repository.differs(old, tip, [*_JUDGED, *places]) or self.repository.has_records(f"{old}..{tip}")

    def _await_merge(
        self, proposal: str, commit: str, parent: str, found: Callable[[], Problem | None]
    ) -> str | Problem:
        self.say(f"pushed {commit[:10]} to {proposal}; waits until it is merged into {self.branch}")
        ends = time.monotonic() + _MERGED_WITHIN_SECONDS
        gone = 0
        while self.persistent or time.monotonic() < ends:
            # before the tip: a merge comes before the deletion of what was merged
            there = self.tried(partial(self.repository.tip, self.remote, proposal))
            tip = self.tip()
            if landed := self.tried(partial(self.landed, commit, tip)):
                self._keep_record(commit, landed)
                return landed
            self.tried(partial(self._refuse_overtaken, commit, parent, tip))
            gone = 0 if there else gone + 1
            if gone == _SURE_LOOKS:
                raise RolloutError.of(
                    f"{proposal} was deleted, and {self.branch} does not have the weights of {commit[:10]}",
                    "what is not merged is not delivered",
                    "to propose it again, run this again (a promotion that has begun: rollout promote --resume)",
                )
            if problem := found():
                return problem
            time.sleep(_LOOK_EVERY_SECONDS)
        raise RolloutError.of(
            f"{commit[:10]} was not merged into {self.branch} within {_MERGED_WITHIN_SECONDS / 3600:.0f} h",
            "what is not on that branch is not delivered",
            "merge it, and go on with --resume",
        )

    def _refuse_overtaken(self, commit: str, parent: str, tip: str) -> None:
        """Somebody who changes the same regions while a commit waits goes first; a way back is made anew on top of that."""
        regions = self._changed(parent, commit, self.regions(commit))
        if self.persistent and self._changed(parent, tip, regions):
            raise OvertakenError.of(f"the regions are not at {tip[:10]} as they were at {parent[:10]}")
        if self.persistent:
            return
        try:
            self.refuse_changed_by_others(parent, tip, regions)
        except InterferenceError:
            self.say(f"close the proposal {self.proposal}: nobody watches what {commit[:10]} brings")
            raise

    def _split(self, commit: str, regions: Iterable[str]) -> list[object]:
        """How a commit splits the requests in regions: the weights, and the versions that testers can ask for."""
        found = self.services(commit)
        services = [found.get(name) for name in regions]
        return [(each.weights, each.for_testers) if each else None for each in services]

    def _keep_record(self, commit: str, landed: str | None) -> None:
        """Notes what a commit says of a promotion at the one by which the branch has it, where the merge did not keep that."""
        with self._told():
            (entry,) = self.repository.log(commit, 1)
            if landed is None or (record := parse(entry.message)) is None:
                return
            for seconds in _NOTE_PAUSES_SECONDS:
                with suppress(TransientError):
                    self._note(entry.message, record, landed)
                    return
                self.pause(seconds)
                with suppress(TransientError):
                    self.repository.fetch(self.remote, self.branch)
            self._note(entry.message, record, landed)

    def _note(self, text: str, record: Record, landed: str) -> None:
        newest = self.repository.newest_record(landed, self.service)
        if newest and (newest[1] == record or (newest[0].commit == landed and _ends(newest[1], record))):
            self.repository.push_notes(self.remote, self.service)
        else:
            self.repository.note(landed, text, self.remote, self.service)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Says what cannot be noted: to watch what is delivered counts more."""
        try:
            yield
        except RolloutError as error:
            self.say("; ".join(f"{each.what}: {each.why}; {each.fix}" for each in error.problems))

    def _says(self, commit: str) -> tuple[Mapping[str, object], Record | None]:
        """What a commit says of the service in all regions, and of its promotion."""
        newest = self.repository.newest_record(commit, self.service)
        return self._files(commit, self.regions(commit)), newest[1] if newest else None

    def _proposed(self) -> str:
        """What is on the branch of proposals; "" where it is not there."""
        if self.proposal is None or self.repository.tip(self.remote, self.proposal) is None:
            return ""
        return self.repository.fetch(self.remote, self.proposal)

    def _files(self, commit: str, regions: Iterable[str]) -> Mapping[str, Mapping[str, object]]:
        """What a commit has of the service in each of these regions, by file: its overlay, and the stack file without other services."""
        tree = self.repository.at(commit)
        found = {each.name: each for each in declared(tree)}
        return {region: self._of(tree, found[region]) if region in found else {} for region in regions}

    def _of(self, tree: Tree, region: DeclaredRegion) -> Mapping[str, object]:
        config = region.config
        if config is None or self.service not in config.services:
            return {region.stack_file: config}
        folder = region.overlays[self.service].place
        own = config.model_copy(update={"services": {self.service: config.services[self.service]}})
        overlay = {f"{folder}/{name}": content for name, content in tree.contents(folder).items()}
        return {**overlay, region.stack_file: own}

    def _by_whom(self, ours: str, tip: str, region: str, paths: Iterable[str]) -> Problem:
        since = self.repository.log(f"{ours}..{tip}", _HISTORY)
        # what others do to their services is in the same stack file
        overlays = {path for path in paths if "/" in path}
        theirs = [entry for entry in since if overlays & {*entry.files}]
        theirs = theirs or [entry for entry in since if {*paths} & {*entry.files}]
        told = "; ".join(f"{each.commit[:10]} by {each.author}: {each.subject}" for each in theirs) or tip[:10]
        return Problem(
            f"{region} was changed by somebody else meanwhile: {told}",
            "two hands on the same weights undo each other, and a person's goes first",
            "see what it does (rollout status), then begin anew or roll back",
        )


def followed_branch(regions: Mapping[str, RegionConfig], names: Sequence[str]) -> str:
    """The branch that Argo CD follows in these regions, without `refs/heads/`.

    Raises:
        RolloutError: it is not one and the same, or commits are not what is delivered.
    """
    direct = [name for name in names if regions[name].delivery != "gitops"]
    if direct:
        raise RolloutError.of(
            f"{', '.join(direct)}: delivery is not gitops",
            "a commit changes nothing there: Pulumi applies the workloads",
            "change the weights with `pulumi up`, or hand the region over to Argo CD (docs/handover.md)",
        )
    repositories = {name: regions[name].repository for name in names}
    branches = {name: repository.branch for name, repository in repositories.items() if repository}
    if len(set(branches.values())) != 1:
        raise RolloutError.of(
            f"the regions follow different branches: {', '.join(f'{name} {branch}' for name, branch in branches.items())}",
            "one commit is to reach all of them",
            "name the regions of one branch with --regions",
        )
    return next(iter(branches.values()))


def refuse_promotion(newest: tuple[Entry, Record] | None) -> None:
    """Nothing else is done while a promotion has begun and is neither done nor taken back.

    Args:
        newest: The newest commit of a promotion, with what it says; None if there is none.

    Raises:
        RolloutError: it is in progress.
    """
    if newest and newest[1].state is PromotionState.IN_PROGRESS:
        entry, record = newest
        raise RolloutError.of(
            f"the promotion {record.promotion.id} is in progress: {record.promotion.service} {record.promotion.version} has "
            f"{record.weight} % in {record.region} by {entry.commit[:10]} of {entry.author}",
            "two hands at once would take each other's weights",
            "go on with it (rollout promote --resume) or take it back (rollout rollback)",
        )


def _ends(newest: Record, step: Record) -> bool:
    """Whether a record says how the promotion of a step ended."""
    in_progress = PromotionState.IN_PROGRESS
    return newest.promotion.id == step.promotion.id and step.state is in_progress and newest.state is not in_progress


# what a commit declares never changes, and each step asks for the weights of the same few
@lru_cache(maxsize=_REMEMBERED)
def regions_at(repository: Repository, commit: str) -> Mapping[str, RegionConfig]:
    """What a commit declares of its regions, by their names; of those whose stack file can be used.

    Raises:
        RolloutError: none can be used.
    """
    found = declared(repository.at(commit))
    usable = {region.name: region.config for region in found if region.config}
    if not usable:
        refuse_unusable(found)
    return usable
