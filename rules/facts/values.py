"""The values of what people write: what each accepts, and the words for one that is not accepted. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION_PART = r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|us|µs|ns|s)"
_LARGEST_INT32 = 2**31 - 1
_LARGEST_PORT = 65535


def shown(value: object) -> str:
    """Write a value as a file has it, short enough for one line."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError):
        # YAML has keys that JSON has not, and lists that are in themselves
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


OBJECT_TYPES = ("model_type", "model_attributes_type", "dict_type", "mapping_type")
NOT_OF_TYPE = {
    "string_type": "is not text (a number or a word such as true needs quotes)",
    "list_type": "is not a list",
    "string_too_short": "is empty",
    "too_short": "is empty",
} | dict.fromkeys(OBJECT_TYPES, "is not an object")
"""What a value is that is not of its type, by the type of pydantic's error."""


def in_one_line(error: Exception) -> str:
    """Say where and what is wrong with YAML; the parsers' own text is a paragraph with advice for programmers."""
    mark = getattr(error, "problem_mark", None)
    what = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"line {mark.line + 1}: {what}" if mark else what


def path(location: Iterable[int | str]) -> str:
    """Write where something is as people do: `.spec.http[0].route[1].weight`; a key itself is where its value is."""
    return "".join(
        f".{step}" if isinstance(step, str) and re.fullmatch(r"[\w-]+", step) else f"[{shown(step)}]"
        for step in location
        if step != "[key]"
    )


class Shape(BaseModel):
    """A part of an object or of a stack file: keys are camelCase there, and one without a value counts as left out."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_alias=True, validate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        return {key: value for key, value in values.items() if value is not None}


def _whole_number(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
        raise ValueError(f"{shown(value)} is not a whole number")
    if not low <= value <= high:
        raise ValueError(f"{int(value)} is not in {low}..{high}")
    return int(value)


def _whole(low: int, high: int) -> BeforeValidator:
    """Take 90.0 for 90: on the way to a provider of Pulumi every number is a float."""
    return BeforeValidator(lambda value: _whole_number(value, low, high))


def _whole_or_text(pattern: str, what: str, low: int, high: int) -> BeforeValidator:
    def check(value: object) -> int | str:
        if not isinstance(value, str):
            return _whole_number(value, low, high)
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{shown(value)} is neither a whole number nor {what}")
        return value

    return BeforeValidator(check)


def seconds(value: object) -> float:
    """Read a duration such as 1m30s as seconds."""
    if not isinstance(value, str) or not re.fullmatch(f"({_DURATION_PART})+", value):
        raise ValueError(f"{shown(value)} is not a duration such as 5s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_DURATION_PART, value))


def _wave(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"[+-]?[0-9]{1,9}", value):
        raise ValueError(f"{shown(value)} is not a whole number in quotes, which a wave is")
    return int(value)


RouteWeight = Annotated[int, _whole(-_LARGEST_INT32, _LARGEST_INT32)]
Count = Annotated[int, _whole(0, _LARGEST_INT32)]
Percent = Annotated[int, _whole(0, 100)]
Port = Annotated[int, _whole(1, _LARGEST_PORT)]
TargetPort = Annotated[int | str, _whole_or_text(r"[a-z0-9-]*[a-z][a-z0-9-]*", "a port's name", 1, _LARGEST_PORT)]
CountOrPercent = Annotated[int | str, _whole_or_text(r"[0-9]{1,4}%", "a percent such as 25%", 0, _LARGEST_INT32)]
Seconds = Annotated[float, BeforeValidator(seconds)]
Wave = Annotated[int, BeforeValidator(_wave)]
