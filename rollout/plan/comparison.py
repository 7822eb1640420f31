"""What a change does to the requests of each region: two revisions held against each other. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from rollout.git.command import SHORT_HASH
from rollout.plan.declaration import DeclaredRegion, Overlay, argo_cd_applies, delivered, to_deliver
from rules.between.changes import BETWEEN_CHANGES
from rules.between.regions import BETWEEN_REGIONS
from rules.change.differences import Difference, differences
from rules.change.order import ORDER
from rules.change.transition import Transition
from rules.facts.region import Change, Region
from rules.facts.versions import by_number, versions
from rules.facts.workloads import Delivery, Version, Workloads
from rules.finding import Finding, Severity
from rules.judgement import judge
from rules.model.changes import outage
from rules.region.capacity import capacity_percent

OVERLAY_RENDERED = "overlay-rendered"
"""The id of what is told where an overlay is not what this checkout renders."""

_OVERLAY_FACT = "docs/decisions/0010-overlays-are-rendered.md"
_PLAN_FACT = "docs/decisions/0017-plan.md"
_ARGO_CD_FACT = "docs/decisions/0012-argo-cd.md"
_EVERY_REGION = "every region"
_OF_THE_RULES = (".stable", ".podsForAllTraffic")
"""Settings of a service that only the rules read, by the end of their path."""
_PLACE = ".path"
"""The end of a setting that says where the overlay of a service is; as those of the rules it makes no object of the service."""
_EFFECTS = {
    "istio.version": "sidecars stay as they are: restart the pods, one Deployment at a time, then rollout verify, then the next region",
    "istio.": "istiod is upgraded, and sidecars stay as they are until their pods restart",
    "cluster.": "the same cluster or none: the program refuses another one",
    "argocd.": "Argo CD restarts, and commits wait meanwhile; the service goes on",
    "repository.": "Argo CD reads there from then on",
    _PLACE: "Argo CD reads there from then on",
    "probe.": "the measuring client restarts",
    "access.": "who may run rollout there",
    "rules.": "what the next change may do; for this one the rules before it hold",
}
"""What a change of settings does, by the beginning or the end of their path."""
_DIFFERENCES_SHOWN = 3

Images = Mapping[str, frozenset[str]]
"""Names of versions, each with images."""
ChangeKind = Literal["new", "gone", "changed", "unchanged"]

_ORDER_RULES = {rule.id for rule in ORDER}
_MODEL_RULE = "make-before-break"
_BETWEEN_RULES = {rule.id for rule in BETWEEN_CHANGES} | {rule.id for rule in BETWEEN_REGIONS}


@dataclass(frozen=True)
class Revision:
    """One side of a comparison.

    Attributes:
        asked: What the operator called it; None for the working tree.
        commit: The commit's full hash; None for the working tree.
        regions: What it declares.
        parted_from: Where the commit is not the one that was asked for, but the one from which that and this went apart.
        program: What makes the objects and is not as at the base: files of the project.
        stale: What in an overlay is not what is rendered, a phrase each, by the names of region and service; of a region that is as
            at the base, only where the program is not.
    """

    asked: str | None
    commit: str | None
    regions: tuple[DeclaredRegion, ...]
    parted_from: str | None = None
    program: tuple[str, ...] = ()
    stale: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.commit is None or self.asked is None:
            return self.short
        if self.parted_from is not None:
            return f"{self.short} (where {self.asked} and {self.parted_from} went apart)"
        return self.short if self.commit.startswith(self.asked) else f"{self.short} ({self.asked})"

    @property
    def short(self) -> str:
        """The commit as people write it."""
        return self.commit[:SHORT_HASH] if self.commit else "the working tree"


@dataclass(frozen=True)
class VersionChange:
    """A version before and after; None where it is not there. `capacity` is the percent of all requests that it can take after."""

    name: str
    before: Version | None
    after: Version | None
    capacity: int

    @property
    def gains(self) -> bool:
        """Whether it gets more requests than it did."""
        return _weight(self.after) > _weight(self.before)


@dataclass(frozen=True)
class SettingChange:
    """A setting of the stack file that makes no object of the service; None where it is not set. `carrier` puts it into effect."""

    path: str
    before: object
    after: object
    carrier: str
    effect: str


@dataclass(frozen=True)
class RegionPlan:
    """What becomes of a service in one region.

    Attributes:
        name: The region.
        service: The service.
        stack: Its Pulumi stack.
        state: Whether anything becomes of it.
        delivery: Who applies the workloads, after the change if there is an after.
        versions: All versions of either side, in the order v1, v2, v10.
        settings: What else changes in the stack file, by path; what is of no service, only at the first of the region's.
        differences: What changes in the objects.
        order_is_safe: Whether no order of events loses a request; None where no object changes, or the region comes or goes.
        story: Where it is not safe, how a request is lost, a step each.
    """

    name: str
    service: str
    stack: str
    state: ChangeKind
    delivery: Delivery
    versions: tuple[VersionChange, ...]
    settings: tuple[SettingChange, ...]
    differences: tuple[Difference, ...]
    order_is_safe: bool | None
    story: tuple[str, ...]

    @property
    def carrier(self) -> str:
        """What puts a change of the workloads into effect."""
        return _carrier(self.delivery, self.stack)


@dataclass(frozen=True)
class Plan:
    """A change, and what there is to say of it.

    Attributes:
        base: What runs.
        head: What is to run.
        regions: By name.
        findings: The refused ones first; the model's story is its region's.
        assumed: What was taken for granted, a sentence each.
    """

    base: Revision
    head: Revision
    regions: tuple[RegionPlan, ...]
    findings: tuple[Finding, ...]
    assumed: tuple[str, ...]

    @property
    def severity(self) -> Severity | None:
        """The gravest of the findings; None where there is none."""
        found = {finding.severity for finding in self.findings}
        return next((each for each in (Severity.REFUSED, Severity.WARNING) if each in found), None)

    @property
    def nothing_changes(self) -> bool:
        """Whether both sides are the same in every region, to the last field, and so is what makes the objects."""
        return not self.head.program and all(region.state == "unchanged" for region in self.regions)


def plan(
    base: Revision,
    head: Revision,
    *,
    tip: Revision | None,
    proven: Callable[[Change], Images],
    followed: Callable[[DeclaredRegion], Mapping[str, Overlay]],
    branch: str | None = None,
    history_is_cut: bool = False,
    names: Sequence[str] = (),
    at: datetime | None = None,
) -> Plan:
    """Holds a change against the rules.

    Args:
        base: What runs.
        head: What is to run; each of its stack files can be used.
        tip: Where the base was asked for, if that has moved on since the change set out from `base`; None if not.
        proven: Tells the images with which versions once had all requests; asked only where it matters.
        followed: Tells the overlays of a region on the branch that it names, by service, as far as they are known here.
        branch: The branch that the base was named by, if it was.
        history_is_cut: It does not know the whole history.
        names: The regions to speak of; none for all. The rules look at all of them in any case, and what is wrong between
            regions is always told.
        at: When the change is to be made; None where that does not matter.
    """
    changes = tuple(replace(each, at=at) for each in changes_between(base, head))
    open_ones = [change for change in changes if _history_matters(change)]
    known = tuple(replace(each, proven=proven(each)) if each in open_ones else each for each in changes)
    findings = (
        *_findings_of_files(base, head, tip),
        *_findings_of_source(base, head, followed, branch),
        *map(_without_story, judge(known)),
    )
    spoken = [change for change in known if not names or change.name in names]
    stacks = {each.name: each.stack for each in (*base.regions, *head.regions)}
    return Plan(
        base,
        head,
        tuple(
            _region_plan(
                change, stacks[change.name], findings, with_region=change.name not in {it.name for it in spoken[:place]}
            )
            for place, change in enumerate(spoken)
        ),
        tuple(
            sorted(
                (
                    each
                    for each in findings
                    if not names or each.region in {*names, _EVERY_REGION} or each.rule_id in _BETWEEN_RULES
                ),
                key=lambda each: each.severity is not Severity.REFUSED,
            )
        ),
        tuple(_assumed(base, head, spoken, [each.name for each in open_ones] if history_is_cut else [])),
    )


def changes_between(base: Revision, head: Revision) -> tuple[Change, ...]:
    """What becomes of each service of each region, as the rules look at it, by name; without what is proven."""
    old = {each.name: each for each in base.regions}
    new = {each.name: each for each in head.regions}
    changes = (
        _change(name, service, old.get(name), new.get(name), head)
        for name in sorted({*old, *new})
        for service in sorted(
            {*(old[name].overlays if name in old else ()), *(new[name].overlays if name in new else ())}
        )
    )
    # of what is gone, the base may not have told anything either
    return tuple(change for change in changes if change.before or change.after)


def _change(
    region: str, service: str, old: DeclaredRegion | None, new: DeclaredRegion | None, head: Revision
) -> Change:
    as_rendered = (region, service) in head.stale and head.commit is None
    return Change(
        delivered(old, service, new, same_program=not head.program) if old else None,
        to_deliver(new, service, as_rendered=as_rendered) if new else None,
        region_goes=new is None,
    )


def _history_matters(change: Change) -> bool:
    """Whether it makes a difference what a version's image has carried before."""
    transition = Transition.of(change)
    if transition is None:
        return False
    limits = transition.before.limits
    return bool(
        transition.moved_images
        or (limits.freeze and transition.rises)
        or any(rise.points > limits.largest_increase or rise.version not in transition.old for rise in transition.rises)
    )


def _findings_of_files(base: Revision, head: Revision, tip: Revision | None) -> Iterator[Finding]:
    for declared in base.regions:
        if declared.config is None:
            yield _unusable_base(declared, base)
    for declared in head.regions:
        for service in declared.overlays:
            if (declared.name, service) in head.stale:
                yield _not_rendered(declared, service, head, touched=declared not in base.regions)
    if head.program:
        yield _other_program(head)
    if tip is not None:
        old, new = ({each.name: each for each in revision.regions} for revision in (base, tip))
        for region in sorted({*old, *new}):
            if old.get(region) != new.get(region):
                yield _moved_on(region, base, tip)


def _unusable_base(declared: DeclaredRegion, base: Revision) -> Finding:
    return Finding(
        "base-stack-file",
        declared.name,
        f"{declared.stack_file} at {base}",
        f"cannot be used: {'; '.join(declared.problems)}",
        "its limits and waivers are not known, so the defaults held, and the overlay was taken for what runs",
        "see that the overlay there is what runs; this ends with the commit that mends the file",
        _PLAN_FACT,
        Severity.WARNING,
    )


def _not_rendered(declared: DeclaredRegion, service: str, head: Revision, *, touched: bool) -> Finding:
    found = head.stale[declared.name, service]
    more = len(found) - _DIFFERENCES_SHOWN
    what = "; ".join(found[:_DIFFERENCES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return Finding(
        OVERLAY_RENDERED,
        declared.name,
        declared.overlays[service].place,
        f"is not what is rendered of {declared.stack_file}: {what}",
        "Argo CD applies the overlay, whatever the stack file says, and the next change is compared with it"
        if touched
        else "this change leaves the region as it is, and the next render of the region brings the difference",
        "run `rollout render` and commit the overlay together with the stack file"
        if touched
        else f"render it in a change of its own: rollout render --region {declared.name}",
        _OVERLAY_FACT,
        Severity.REFUSED if touched and head.commit is not None else Severity.WARNING,
        service=service,
    )


def _other_program(head: Revision) -> Finding:
    shown = ", ".join(head.program[:_DIFFERENCES_SHOWN])
    more = len(head.program) - _DIFFERENCES_SHOWN
    return Finding(
        "program-changed",
        _EVERY_REGION,
        shown + (f" and {more} more" if more > 0 else ""),
        "what makes the objects is not what it was",
        "the overlays were compared, but not what Pulumi itself applies: Istio, Argo CD, namespaces, the probe",
        "read `pulumi preview --policy-pack policies` of each region before it is merged",
        _PLAN_FACT,
        Severity.WARNING,
    )


def _findings_of_source(
    base: Revision, head: Revision, followed: Callable[[DeclaredRegion], Mapping[str, Overlay]], branch: str | None
) -> Iterator[Finding]:
    """Where Argo CD will not deliver what was compared: another repository, another branch."""
    before = {each.name: each.config.repository for each in base.regions if each.config and each.config.repository}
    for declared in head.regions:
        old, new = before.get(declared.name), declared.usable.repository
        if new is None or not argo_cd_applies(declared):
            continue
        if old is not None and old.url != new.url:
            yield _not_read(
                declared,
                f"repository.url: {old.url} → {new.url}",
                "from then on Argo CD delivers what that one has, and this plan has not read it",
                f"see that {new.branch} there is this commit",
                Severity.WARNING,
            )
        if old is not None and old.branch != new.branch and followed(declared) != declared.overlays:
            yield _not_read(
                declared,
                f"repository.revision: {old.branch} → {new.branch}",
                "from then on Argo CD delivers what that branch has, which is not this overlay, or not in this clone",
                f"bring {new.branch} to this overlay first, fetch it (git fetch origin {new.branch}), and plan again",
                Severity.REFUSED,
            )
        elif branch not in (None, new.branch) and new.branch != "HEAD":
            yield _not_read(
                declared,
                f"repository.revision: {new.branch}, and the base is {branch}",
                "Argo CD does not deliver from the branch that this plan was made against",
                f"plan against what it follows: rollout plan --base origin/{new.branch}",
                Severity.REFUSED,
            )


def _not_read(declared: DeclaredRegion, what: str, reason: str, mend: str, severity: Severity) -> Finding:
    return Finding(
        "delivered-elsewhere", declared.name, declared.stack_file, what, reason, mend, _ARGO_CD_FACT, severity
    )


def _moved_on(region: str, base: Revision, tip: Revision) -> Finding:
    return Finding(
        "base-moved",
        region,
        f"the stack file or the overlay at {tip}",
        f"is not what it was at {base.short}, from where this change set out",
        "what will run is the merge of both, and only this change was judged",
        f"merge {tip.asked} into this branch, or rebase it, and plan again",
        _PLAN_FACT,
        Severity.WARNING,
    )


def _region_plan(change: Change, stack: str, findings: Sequence[Finding], *, with_region: bool) -> RegionPlan:
    settings = tuple(
        each for each in _setting_changes(change, stack) if with_region or each.path.startswith("services.")
    )
    region = change.after or change.before
    assert region is not None, "a change is of some region"
    state = _state(change, settings)
    story = _story(change, findings)
    old = change.before.workloads if change.before else Workloads()
    changed = differences(old, change.after.workloads) if change.after else ()
    moves = change.before and change.after and changed
    return RegionPlan(
        change.name,
        change.service,
        stack,
        state,
        region.delivery,
        _version_changes(change),
        settings,
        changed,
        order_is_safe=story is None if moves else None,
        story=story or (),
    )


def _without_story(finding: Finding) -> Finding:
    return replace(finding, steps=()) if finding.rule_id == _MODEL_RULE else finding


def _state(change: Change, settings: Sequence[SettingChange]) -> ChangeKind:
    if change.before is None:
        return "new"
    if change.after is None:
        return "gone"
    same = change.before.workloads == change.after.workloads and change.before.delivery == change.after.delivery
    return "unchanged" if same and not settings else "changed"


def _story(change: Change, findings: Sequence[Finding]) -> tuple[str, ...] | None:
    """How a request can be lost on the way; None where it cannot.

    The rules are asked first: they take less time than the model, and tell of the most of what it finds.
    """
    if not any(
        each.rule_id in _ORDER_RULES and (each.region, each.service) == (change.name, change.service)
        for each in findings
    ):
        return None
    return outage(change)


def _version_changes(change: Change) -> tuple[VersionChange, ...]:
    old = versions(change.before.workloads) if change.before else {}
    new = versions(change.after.workloads) if change.after else {}
    return tuple(
        VersionChange(
            name, old.get(name), new.get(name), capacity_percent(change.after, name) if change.after is not None else 0
        )
        for name in sorted({*old, *new}, key=by_number)
    )


def _setting_changes(change: Change, stack: str) -> Iterator[SettingChange]:
    before, after = change.before, change.after
    if before is None or after is None or not before.settings or not after.settings:
        return
    for path in sorted({*before.settings, *after.settings}):
        old, new = before.settings.get(path), after.settings.get(path)
        # the service is told from its objects, which are what runs
        if old != new and (path.endswith((*_OF_THE_RULES, _PLACE)) or not path.startswith("services.")):
            yield SettingChange(path, old, new, _carrier_of(path, stack), _effect_of(path))


def _effect_of(path: str) -> str:
    return next((effect for part, effect in _EFFECTS.items() if path.startswith(part) or path.endswith(part)), "")


def _carrier_of(path: str, stack: str) -> str:
    return "rollout plan" if path.startswith("rules.") or path.endswith(_OF_THE_RULES) else _carrier("direct", stack)


def _carrier(delivery: Delivery, stack: str) -> str:
    up = f"pulumi up -s {stack}"
    return {"gitops": "commit", "direct": up, "handover": f"commit and {up}"}[delivery]


def _weight(version: Version | None) -> int:
    return version.weight if version else 0


def _assumed(base: Revision, head: Revision, changes: Sequence[Change], cut: Sequence[str]) -> Iterator[str]:
    names = dict.fromkeys(change.name for change in changes)
    if there := dict.fromkeys(change.name for change in changes if change.before):
        yield f"{base.short} is delivered and acknowledged in {_listed([*there])}"
    sources: dict[tuple[str, str], list[str]] = {}
    moving = [change.name for change in changes if change.before != change.after]
    for each in head.regions:
        if each.name in moving and argo_cd_applies(each) and (source := each.usable.repository):
            sources.setdefault((source.branch, source.url), []).append(each.name)
    for (branch, url), regions in sources.items():
        yield f"{branch} of {url} comes to be {head.short}, and Argo CD of {_listed(regions)} follows it"
    for change in {change.name: change for change in changes}.values():
        if change.before and change.after and _context(change.before) != _context(change.after):
            yield f"the context {_context(change.after)} is the cluster of {change.name}; `pulumi preview` compares them"
    for each in base.regions:
        for service, found in each.overlays.items() if each.name in names and argo_cd_applies(each) else ():
            if not found.workloads:
                yield f"what the stack file of {each.name} says of {service} at {base.short}, where it has no overlay, is what runs"
    to_render = [*dict.fromkeys(region for region, _ in head.stale if region in names)]
    if head.commit is None and to_render:
        yield f"the overlay of {_listed(to_render)} will be rendered before it is committed"
    if unknown := [name for name in cut if name in names]:
        yield f"no version had all requests of {_listed(unknown)} in the commits that this shallow clone lacks"


def _context(region: Region) -> object:
    return region.settings.get("cluster.context")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
