"""A change of the rules themselves, judged by both sets: the base's, and the change's own. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

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


class _Region(_Part):
    region: str
    state: str
    order_is_safe: bool | None


class Verdict(_Part):
    """What a set of rules says of a change, as far as `rollout plan --json` prints it."""

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
    def of(cls, document: Mapping[str, Any]) -> Verdict:
        """A plan's own verdict, from its JSON."""
        return cls.model_validate(document)

    @classmethod
    def refusal(cls, *whats: str) -> Verdict:
        """That of rules that cannot judge the change, and why."""
        return cls(
            verdict="refused",
            findings=tuple(
                _Finding(severity="refused", region="all regions", where="the change", what=what, rule="not-judged")
                for what in whats
            ),
        )

    @property
    def is_refused(self) -> bool:
        """Whether the change must not go on."""
        return self.verdict == "refused"

    def _said(self) -> list[str]:
        order = {True: ", order: safe", False: ", order: not safe", None: ""}
        found = (f"{each.severity}: {each.region}: {each.where}: {each.what} [{each.rule}]" for each in self.findings)
        states = (f"{each.region}: {each.state}{order[each.order_is_safe]}" for each in self.regions)
        # each on a line of its own, whatever a stack file says
        return [" ".join(line.split()) for line in (*found, *states)]


def differences(base: Verdict, own: Verdict) -> Iterator[str]:
    """What only one of them says, a line each.

    Args:
        base: What the base's rules say.
        own: What the change's own rules say.
    """
    says = {"the base's rules": base._said(), "the change's own rules": own._said()}
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
