"""A change of the rules themselves, judged by both sets: the base's, and the change's own. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from stackfile.keys import ONLY_SERVICE

RULES = (
    ".github/",
    "components/",
    "policies/",
    "requirements.txt",
    "rollout/cli/plan.py",
    "rollout/git/",
    "rollout/plan/",
    "rollout/problem.py",
    "rollout/regions.py",
    "rules/",
    "sdks/",
    "stackfile/",
)
"""What gives a change its verdict, and what judges pull requests. Both sets judge a change of these; their owners are in CODEOWNERS."""

FOR_OWNERS = 3
"""Refused by the base's rules, accepted by the change's own: those who own the rules decide."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Finding(_Part):
    severity: str
    region: str
    where: str
    what: str
    rule: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.region}: {self.where}: {self.what} [{self.rule}]"


class _Region(_Part):
    region: str
    # a plan from before there were several services names none
    service: str = ONLY_SERVICE
    state: str
    order_is_safe: bool | None

    def __str__(self) -> str:
        order = {True: ", order: safe", False: ", order: not safe", None: ""}[self.order_is_safe]
        return f"{self.region}, {self.service}: {self.state}{order}"


class Verdict(_Part):
    """What a set of rules says of a change, as far as it is compared: a part of what `rollout plan --json` prints."""

    verdict: Literal["safe", "warning", "refused"]
    findings: tuple[_Finding, ...] = ()
    regions: tuple[_Region, ...] = ()

    @classmethod
    def read(cls, text: str) -> Verdict:
        """A verdict as JSON; refused where it is none, because the rules did not come to one."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return cls.refusal("they give no verdict: `rollout plan --json` did not end well")

    @classmethod
    def refusal(cls, *whats: str) -> Verdict:
        """That of rules that cannot judge the change, and why."""
        found = {"severity": "refused", "region": "all regions", "where": "the change", "rule": "not-judged"}
        return cls(verdict="refused", findings=tuple(_Finding(**found, what=what) for what in whats))

    @property
    def is_refused(self) -> bool:
        """Whether the change must not go on."""
        return self.verdict == "refused"


def differences(base: Verdict, own: Verdict) -> Iterator[str]:
    """What only the base's rules say and what only the change's own say, a line each, whatever a stack file says."""
    says = {
        who: [" ".join(str(each).split()) for each in (*verdict.findings, *verdict.regions)]
        for who, verdict in (("the base's rules", base), ("the change's own rules", own))
    }
    for (who, these), others in zip(says.items(), reversed(says.values()), strict=True):
        yield from (f"only {who}: {line}" for line in these if line not in others)


def told(base: Verdict, own: Verdict) -> Iterator[str]:
    """What a reader gets of both, a line each."""
    yield f"The change touches the rules, so both sets judge it. The base's: {base.verdict}. The change's own: {own.verdict}."
    yield from [*differences(base, own)] or ["Both say the same."]
    if base.is_refused and not own.is_refused:
        yield "Only the change's own rules accept it, so the owners of the rules decide (CODEOWNERS)."


def as_markdown(base: Verdict, own: Verdict) -> str:
    """The same as a part of a comment; a block of code, in which nothing is markup and nobody is called by their name."""
    return "\n".join(["", "### Both sets of rules", "", *(f"    {line}" for line in told(base, own))])


def exit_code(code: int, base: Verdict, own: Verdict) -> int:
    """How the command ends, where without the change's own rules it would end with this code."""
    if own.is_refused:
        return max(code, 2)
    return FOR_OWNERS if base.is_refused else max(code, int(any(differences(base, own))))
