"""The types of a stack file's values: what each accepts, and the message of what it refuses.

Every message has three parts: what is wrong, why it matters, and what to write instead.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from components.problems import shown

PERCENT = 100
_LARGEST_INT32 = 2**31 - 1


def _whole(low: int, high: int, why: str) -> BeforeValidator:
    """Accept whole numbers only: no text, no booleans, and 90.0 as 90, since Pulumi itself turns the one into the other."""

    def check(value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(  # noqa: TRY004 - pydantic collects nothing else
                f"{shown(value)} is not a whole number in {low}..{high} — {why}; write a whole number in this range"
            )
        if not low <= value <= high:
            raise ValueError(f"{shown(value)} is not in {low}..{high} — {why}; write a whole number in this range")
        return value

    return BeforeValidator(check)


def _matching(pattern: str, what: str, why: str) -> AfterValidator:
    """Accept text that matches the whole pattern."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{shown(value)} is not {what} — {why}")
        return value

    return AfterValidator(check)


def _without_credentials(mend: str) -> AfterValidator:
    """Refuse an address with a password, or with a user where that may be a token; the message shows nothing of it."""

    def check(value: str) -> str:
        if re.match(r"(?!ssh://)[^/]*://[^/]*@", value) or re.match(r"([^/]*://)?[^/@]*:[^/]*@", value):
            raise ValueError(
                "there is a user or a password in the address — whoever reads this file, the state or the cluster would have "
                f"it; take it out{mend}"
            )
        return value

    return AfterValidator(check)


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
_AUTHORITY = rf"{_HOST}(:[0-9]{{1,5}})?"
_USER = r"[A-Za-z0-9._-]+"
_IMAGE_NAME = r"([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+((\.|_{1,2}|-+|/)[a-z0-9]+)*"
_IMAGE_PIN = r"(:(?!latest(@|$))[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"

Name = Annotated[
    str,
    _matching(
        rf"(?=.{{1,50}}$){_LABEL}",
        "a DNS label of at most 50 characters",
        "it becomes part of the names of Kubernetes objects; use lower-case letters, digits and '-'",
    ),
]
Domain = Annotated[
    str,
    _matching(
        rf"{_LABEL}(\.{_LABEL})*",
        "a DNS name",
        "it becomes part of every workload's certificate; use labels of lower-case letters, digits and '-', with dots between",
    ),
]
Image = Annotated[
    str,
    _matching(
        rf"(?=.*[:@][^/]+$){_IMAGE_NAME}{_IMAGE_PIN}",
        "an image reference with a fixed tag or a digest",
        "what runs must not change without a change of this file; write <registry>/<name>:<tag>, and not the tag latest",
    ),
]
Duration = Annotated[
    str,
    _matching(
        r"(?=.*[1-9])([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?",
        "a duration",
        "Istio takes 1ms and more, in whole milliseconds; write for instance 5s, 1m30s or 500ms",
    ),
]
ChartVersion = Annotated[
    str,
    _matching(
        r"v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?",
        "an exact chart version",
        "a range would let Istio change without a change of this file; write for instance 1.31.1",
    ),
]
Text = Annotated[
    str, _matching(r"\S(.*\S)?", "one line of text", "nothing can be looked up by it; write it on one line")
]
Weight = Annotated[int, _whole(0, PERCENT, "a weight is the percent of the requests that this version is to answer")]
Replicas = Annotated[int, _whole(0, 1000, "it is the number of pods of this version")]
Limit = Annotated[int, _whole(1, _LARGEST_INT32, "Istio reads 0 as no limit at all")]
Errors = Annotated[
    int, _whole(0, _LARGEST_INT32, "it is a number of failed answers in a row, and 0 turns the check off")
]
EjectionPercent = Annotated[int, _whole(1, PERCENT, "Istio reads 0 as not set, as if the key were left out")]
RepositoryUrl = Annotated[
    str,
    _without_credentials(", and give it to Argo CD in a Secret that repository.secret names"),
    _matching(
        rf"((https|git)://{_AUTHORITY}|ssh://({_USER}@)?{_AUTHORITY})/[^\s?#]+|{_USER}@{_HOST}:[^\s:/?#][^\s?#]*",
        "the address of a Git repository",
        "Argo CD reads what it delivers from there; write https://…, ssh://…, git://… or git@<host>:<path>",
    ),
]
Revision = Annotated[
    str,
    _matching(
        r"(?!.*(\.\.|//|/\.|\.lock(/|$)|[./]$))[A-Za-z0-9_][A-Za-z0-9._/+-]*",
        "the name of a branch, a tag or a commit",
        "Argo CD follows it; write for instance main",
    ),
]
RelativePath = Annotated[
    str,
    _matching(
        r"(?!(.*/)?\.\.?(/|$))[^\s/\\]+(/[^\s/\\]+)*",
        "a folder's path from the root of the repository",
        "Argo CD delivers what is in it, and looks nowhere else; write for instance deploy/overlays/region-a/echo",
    ),
]
SecretName = Annotated[
    str,
    _matching(
        rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*",
        "the name of a Secret",
        "it is looked up in the namespace argocd; use lower-case letters, digits, '-' and '.'",
    ),
]
Manifest = Annotated[
    str,
    _without_credentials(", and name a copy of the file that needs none"),
    _matching(
        r"https?://\S+|(?!\S*://)\S(.*\S)?",
        "an address or a file's path",
        "Argo CD is installed from it; write https://… or the path of a file",
    ),
]
Delivery = Literal["gitops", "handover", "direct"]
ImagePullPolicy = Literal["Always", "IfNotPresent", "Never"]
