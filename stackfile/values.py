"""The types of a stack file's values: what each accepts, and the message of what it refuses.

Every message has three parts: what is wrong, why it matters, and what to write instead.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from rules.facts.values import shown
from rules.facts.windows import Schedule, time_zone
from stackfile.messages import nearest_of

PERCENT = 100
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_LARGEST_INT32 = 2**31 - 1


@dataclass(frozen=True)
class _Check:
    """A check of a value in Python, and what an editor's JSON Schema says of it beside the type."""

    validator: BeforeValidator | AfterValidator
    schema: Callable[[], dict[str, Any]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self.validator.__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), **self.schema()}


def _whole(low: int, high: int, why: str) -> _Check:
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

    return _Check(BeforeValidator(check), lambda: {"minimum": low, "maximum": high})


def _matching(pattern: str, what: str, why: str) -> _Check:
    """Accept text that matches the whole pattern, which ECMA-262 and Python read alike: editors check by it too."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{shown(value)} is not {what} — {why}")
        return value

    # patternErrorMessage is an addition of the JSON language service's, which editors show in place of the pattern
    schema = {"pattern": f"^(?:{pattern})$", "patternErrorMessage": f"this is not {what} — {why}"}
    return _Check(AfterValidator(check), lambda: schema)


def _without_credentials(mend: str) -> _Check:
    """Refuse an address with a password, or with a user where that may be a token; the message shows nothing of it."""
    pattern = r"(?!ssh://)[^/]*://[^/]*@|([^/]*://)?[^/@]*:[^/]*@"

    def check(value: str) -> str:
        if re.match(pattern, value):
            raise ValueError(
                "there is a user or a password in the address — whoever reads this file, the state or the cluster would have "
                f"it; take it out{mend}"
            )
        return value

    return _Check(AfterValidator(check), lambda: {"not": {"pattern": f"^(?:{pattern})"}})


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(
            f"{shown(value)} is not a regular expression ({error}) — no tag could be held against it; mend it, and write "
            "it between single quotes, in which a backslash is a backslash"
        ) from None
    return value


def _rule_id(value: str) -> str:
    known = _rule_ids()
    if value not in known:
        raise ValueError(
            f"{shown(value)} is not the id of a rule that can be waived — nothing would be waived; {nearest_of(value, known, 'rules')}"
        )
    return value


def _rule_ids() -> list[str]:
    # imported here, not above: only a stack file that waives a rule needs to know which there are
    from rules import catalogue  # noqa: PLC0415

    return sorted(catalogue.waivable_ids())


def _schedule(value: str) -> str:
    try:
        Schedule.read(value)
    except ValueError:
        raise ValueError(
            f"{shown(value)} is not a cron schedule — nobody could tell when it begins; write minute, hour, day, month and weekday, "
            "such as 0 18 * * 5"
        ) from None
    return value


def milliseconds(duration: str) -> int:
    """How long a `Duration` is."""
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in re.findall(r"([0-9]+)([hms]+)", duration))


def _time_zone(value: str) -> str:
    try:
        time_zone(value)
    except ValueError:
        raise ValueError(
            f"{shown(value)} is not a time zone that this machine knows — nobody could tell when it begins; write a name such as "
            "Europe/Berlin, or leave it out for UTC"
        ) from None
    return value


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SHORT_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST_NAME = rf"{_HOST_LABEL}(\.{_HOST_LABEL})*"
_HOST = rf"({_HOST_NAME}|\[[0-9A-Fa-f:.]+\])"
_AUTHORITY = rf"{_HOST}(:[1-9][0-9]{{0,4}})?"
_USER = r"[A-Za-z0-9._-]+"
# https://github.com/distribution/reference/blob/main/reference.go: what a container runtime takes, and 255 for the name
_IMAGE_NAME = rf"({_AUTHORITY}/)?[a-z0-9]+((\.|_{{1,2}}|-+|/)[a-z0-9]+)*"
_IMAGE_PIN = r"(:(?!latest(@|$))[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
_IMAGE_LENGTH = r"(?=.{1,255}(:[^:/@]*)?(@.*)?$)"
_NUMBER = r"(0|[1-9][0-9]*)"
_PRERELEASE = r"(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_HEADER = r"(?=.{1,100}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LOWER_CASE = "Envoy compares headers in lower case; use lower-case letters, digits and '-'"

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
        rf"(?=.{{1,253}}$){_SHORT_LABEL}(\.{_SHORT_LABEL})*",
        "a DNS name",
        "it becomes part of every workload's certificate; use labels of lower-case letters, digits and '-', with dots between",
    ),
]
Image = Annotated[
    str,
    _matching(
        rf"(?=.*[:@][^/]+$){_IMAGE_LENGTH}{_IMAGE_NAME}{_IMAGE_PIN}",
        "an image reference with a fixed tag or a digest",
        "what runs must not change without a change of this file; write <registry>/<name>:<tag>, and not the tag latest",
    ),
]
Duration = Annotated[
    str,
    _matching(
        r"(?=.*[1-9])([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?",
        "a duration",
        "it is read as 1ms or more, in whole milliseconds; write whole numbers of h, m, s and ms in this order, such as 5s, "
        "1m30s or 500ms",
    ),
]
ChartVersion = Annotated[
    str,
    _matching(
        rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRERELEASE}(\.{_PRERELEASE})*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?",
        "an exact chart version",
        "a range would let Istio change without a change of this file; write for instance 1.31.1",
    ),
]
Text = Annotated[
    str,
    _matching(
        r"[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?",
        "one line of text",
        "nothing can be looked up by it; write it on one line",
    ),
]
EnvironmentName = Annotated[
    str,
    _matching(
        r"[A-Za-z_][A-Za-z0-9_]*",
        "the name of an environment variable",
        "containers read it by that name; use letters, digits and '_'",
    ),
]
HeaderName = Annotated[str, _matching(_HEADER, "the name of a header", _LOWER_CASE)]
HeaderOrNone = Annotated[str, _matching(rf"({_HEADER})?", 'the name of a header or ""', _LOWER_CASE)]
HeaderValue = Annotated[
    str, _matching(r"[\x20-\x7e]*", "the value of a header", "it is sent on one line; use plain characters")
]
Method = Annotated[
    str, _matching(r"[A-Z]{1,20}", "an HTTP method", "it is sent as it is; write for instance GET or POST")
]
UrlPath = Annotated[
    str,
    _matching(
        r"/((?!/)[^\s#]*)?", "a path of an address", "it is asked of the container; begin with '/', such as /healthz"
    ),
]
MountPath = Annotated[
    str,
    _matching(
        r"(?!.*(/\.\.?(/|$)|//|:))/[^\s]*[^\s/]",
        "the path of a folder",
        "it is mounted there; write it from the root, such as /etc/nginx/conf.d",
    ),
]
Quantity = Annotated[
    str,
    _Check(
        BeforeValidator(lambda value: str(value) if isinstance(value, int) and not isinstance(value, bool) else value),
        lambda: {"type": ["string", "integer"]},
    ),
    _matching(
        r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?",
        "a quantity",
        "Kubernetes reads it; write a number such as 1, 20m or 64Mi",
    ),
]
Weight = Annotated[int, _whole(0, PERCENT, "a weight is the percent of the requests that this version is to answer")]
Replicas = Annotated[int, _whole(0, 1000, "it is the number of pods of this version")]
PodCount = Annotated[int, _whole(1, 1000, "it is a number of pods, and without one nothing answers")]
Port = Annotated[int, _whole(1, 65535, "it is a TCP port")]
RequestWeight = Annotated[int, _whole(1, 1000, "it is how often this kind of request is sent")]
Status = Annotated[int, _whole(100, 599, "it is an HTTP status")]
ClientErrorStatus = Annotated[
    int, _whole(400, 499, "it is an HTTP status; one of 500 or more is always a failure, and one below 400 is none")
]
Seconds = Annotated[int, _whole(1, 300, "it is a number of seconds")]
UserId = Annotated[int, _whole(1, 65535, "it is the number of a user, and 0 is root")]
Limit = Annotated[int, _whole(1, _LARGEST_INT32, "Istio reads 0 as no limit at all")]
Errors = Annotated[
    int, _whole(0, _LARGEST_INT32, "it is a number of failed answers in a row, and 0 turns the check off")
]
EjectionPercent = Annotated[int, _whole(1, PERCENT, "Istio reads 0 as not set, as if the key were left out")]
Increase = Annotated[int, _whole(1, PERCENT, "a canary that may not grow at all would never be done")]
ChartSource = Annotated[Text, _without_credentials(", and name a copy of the charts that needs none")]
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
ObjectName = Annotated[
    str,
    _matching(
        rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*",
        "the name of an object",
        "it is looked up on the cluster; use lower-case letters, digits, '-' and '.'",
    ),
]
PrometheusAddress = Annotated[
    str,
    _without_credentials(", and name an address that needs none, such as a Service of the cluster"),
    _matching(
        rf"https?://{_AUTHORITY}(/[^\s?#]*)?",
        "the address of a Prometheus",
        "its API is asked there, at /api/v1/query; write https://<host>:<port>, and the path that it is served below",
    ),
]
PrometheusService = Annotated[
    str,
    _matching(
        rf"{_SHORT_LABEL}/{_SHORT_LABEL}:({_SHORT_LABEL}|[1-9][0-9]{{0,4}})",
        "a Service with its port",
        "Prometheus is asked there, through the cluster's API; write <namespace>/<name>:<port>, such as monitoring/prometheus:9090",
    ),
]
Counters = Literal["istio", "envoy"]
GatewayNamespace = Annotated[
    str,
    _matching(
        rf"(?!(?:argocd|echo-probe|istio-system)$)(?=.{{1,50}}$){_LABEL}",
        "the name of a namespace of the gateway's own",
        "the stack makes the namespace with the gateway, and deletes it with the gateway; use lower-case letters, digits and '-'",
    ),
]
ServiceType = Literal["LoadBalancer", "ClusterIP", "NodePort"]
ManifestSource = Annotated[
    str,
    _without_credentials(", and name a copy of the file that needs none"),
    _matching(
        r"https?://\S+|(?!\S*://)\S(.*\S)?",
        "an address or a file's path",
        "Argo CD is installed from it; write https://… or the path of a file",
    ),
]
TagPattern = Annotated[
    str,
    _matching(r"[^\n]+", "a regular expression", "no tag could be held against it; write one, or leave the list empty"),
    _Check(AfterValidator(_regular_expression), lambda: {"format": "regex"}),
]
SettingPath = Annotated[
    str,
    _matching(
        r"([^\s.*]+|\*)(\.([^\s.*]+|\*))*(\.\*\*)?",
        "the path of a setting",
        "no difference would be found by it; write keys with dots between, * for any one key, or ** at the end for all below",
    ),
]
RuleId = Annotated[str, _Check(AfterValidator(_rule_id), lambda: {"enum": _rule_ids()})]
Reason = Annotated[
    str,
    _matching(
        r"\s*\S[\s\S]*",
        "a reason",
        "people who meet it must see whether it still holds; say why",
    ),
]
Cron = Annotated[str, AfterValidator(_schedule)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Length = Annotated[
    str,
    _matching(
        r"(?=.*[1-9])([0-9]{1,4}h)?([0-9]{1,4}m)?",
        "a length of time",
        "nobody could tell when it ends; write whole numbers of h and m in this order, such as 62h or 1h30m",
    ),
]
ImagePullPolicy = Literal["Always", "IfNotPresent", "Never"]
Drain = Literal["server", "sleep"]
