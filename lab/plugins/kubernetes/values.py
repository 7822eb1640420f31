"""Pulumi's property values as Python: plain data, `Secret(...)` around what is secret, `UNKNOWN` for what an update will tell."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import json_format, struct_pb2

# The marks of the wire format, from Pulumi's sdk/go/common/resource/properties.go and plugin/rpc.go.
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWN_STRINGS: Final = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # of a bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # of a number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # of an array
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # of an object
    }
)


class _Unknown(enum.Enum):
    UNKNOWN = enum.auto()


UNKNOWN: Final = _Unknown.UNKNOWN


@dataclasses.dataclass(frozen=True)
class Secret:
    """A value that the engine must encrypt; its representation hides it."""

    value: Any = dataclasses.field(repr=False)


def rebuilt(value: Any, leaf: Callable[[Any], Any], key: Callable[[str], str] = str) -> Any:
    """A copy of nested dicts and lists, each leaf and key passed through a function."""
    if isinstance(value, dict):
        return {key(name): rebuilt(item, leaf, key) for name, item in value.items()}
    return [rebuilt(item, leaf, key) for item in value] if isinstance(value, list) else leaf(value)


def decode(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Property values of a request. Whole numbers become int: the wire has doubles only, and Kubernetes refuses `80.0`."""
    return {name: _decoded(value) for name, value in json_format.MessageToDict(struct).items()}


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET_SIGNATURE:
            return Secret(_decoded(value["value"]))
        return {name: _decoded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return UNKNOWN if isinstance(value, str) and value in _UNKNOWN_STRINGS else value


def encode(properties: dict[str, Any]) -> struct_pb2.Struct:
    """Property values for a response."""
    return json_format.ParseDict(rebuilt(properties, _encoded), struct_pb2.Struct())


def _encoded(leaf: Any) -> Any:
    if isinstance(leaf, Secret):
        return {SIGNATURE: SECRET_SIGNATURE, "value": rebuilt(leaf.value, _encoded)}
    return UNKNOWN_STRING if leaf is UNKNOWN else leaf


def plain(value: Any) -> Any:
    """A copy without the marks of secrecy; unknown values stay."""
    return rebuilt(value, lambda leaf: plain(leaf.value) if isinstance(leaf, Secret) else leaf)


def _any(value: Any, test: Callable[[Any], bool]) -> bool:
    if isinstance(value, dict | list):
        return any(_any(item, test) for item in (value.values() if isinstance(value, dict) else value))
    return test(value) or (isinstance(value, Secret) and _any(value.value, test))


def has_unknown(value: Any) -> bool:
    """Whether anything in it is known only after an update."""
    return _any(value, lambda leaf: leaf is UNKNOWN)


def with_secrets_of(inputs: Any, outputs: Any) -> Any:
    """`outputs`, secret wherever `inputs` are; a list with a secret in it is secret whole, since its order may change.

    What a Kubernetes `Secret` holds is secret in any case.
    """
    if not isinstance(outputs, dict) or (inputs and not isinstance(inputs, dict)):
        return Secret(outputs) if _any(inputs, lambda leaf: isinstance(leaf, Secret)) else outputs
    marked = {name: with_secrets_of((inputs or {}).get(name), value) for name, value in outputs.items()}
    held = ("data", "stringData") if outputs.get("kind") == "Secret" else ()
    return {name: Secret(outputs[name]) if name in held else value for name, value in marked.items()}
