"""What a rule is, and what it says when it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Subject = TypeVar("Subject")


class Severity(Enum):
    """What becomes of a change in which a rule does not hold."""

    WARNING = "warning"
    """It may go on; somebody should have read this."""
    REFUSED = "refused"
    """It must not go on."""


@dataclass(frozen=True)
class Violation:
    """One place where a rule does not hold.

    Attributes:
        where: The object and the field, such as `VirtualService echo/echo: spec.http[0].route[1]`.
        what: What is wrong there, with the value found.
        mend: What to do here; None for the rule's own mend.
        steps: The safe way to the same end, one commit each; none where one correction is enough.
        severity: None for the rule's own.
        region: For a rule between regions, the one that has to change; None where one region is judged.
        service: For a rule between services, the one that has to change, "" for none of them; commits of others may go on.
    """

    where: str
    what: str
    mend: str | None = None
    steps: tuple[str, ...] = ()
    severity: Severity | None = None
    region: str | None = None
    service: str = ""


@dataclass(frozen=True)
class Rule(Generic[Subject]):
    """Something that must hold.

    Attributes:
        id: Its name, in kebab-case; what a waiver and a policy are called by.
        holds: What must hold, as one sentence.
        reason: What happens to requests where it does not.
        mend: What to do about it in general.
        check: Yields every place where it does not hold.
        fact: Where it is known from: an address, or a path in this repository with an anchor; "" for its own in docs/rules.md.
        severity: What becomes of a change that violates it.
        waivable: A stack file may say that it need not hold in its region.
        of_service: It speaks of one service; if not, of the whole region, whatever its services.
    """

    id: str
    holds: str
    reason: str
    mend: str
    check: Callable[[Subject], Iterable[Violation]]
    fact: str = ""
    severity: Severity = Severity.REFUSED
    waivable: bool = True
    of_service: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "fact", self.fact or f"docs/rules.md#{self.id}")


@dataclass(frozen=True)
class Finding:
    """A violation together with what a reader needs to understand it.

    Attributes:
        service: Which service it is of; "" for the region as a whole.
        waived: Why it is let pass, in the words of the stack file; None if it is not.
    """

    rule_id: str
    region: str
    where: str
    what: str
    reason: str
    mend: str
    fact: str
    severity: Severity
    steps: tuple[str, ...] = ()
    waived: str | None = None
    service: str = ""

    @classmethod
    def of(
        cls, rule: Rule[Subject], violation: Violation, region: str, service: str, waived: str | None = None
    ) -> Finding:
        """What is told of a violation in this region, for which there may be a waiver."""
        waived = waived if rule.waivable else None
        return cls(
            rule.id,
            region,
            violation.where,
            violation.what,
            rule.reason,
            violation.mend or rule.mend,
            rule.fact,
            (violation.severity or rule.severity) if waived is None else Severity.WARNING,
            violation.steps,
            waived,
            violation.service or service,
        )

    def __str__(self) -> str:
        text = f"{self.region}: {self.where}: {self.what} — {self.reason}; {self.mend} [{self.rule_id}]"
        if self.waived is not None:
            text += f" (waived: {self.waived})"
        return "\n".join([text, *(f"  step {number}: {step}" for number, step in enumerate(self.steps, 1))])
