"""Turn pydantic's errors into lines that a person can act on: where, what is wrong, why it matters, what to do."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from rules.facts.values import NOT_OF_TYPE, OBJECT_TYPES, path, shown

_NOT_OF_TYPE = {
    **NOT_OF_TYPE,
    "bool_type": "is neither true nor false",
    "literal_error": "is not a value known here",
    "tuple_type": "is not a list",
} | dict.fromkeys(OBJECT_TYPES, "is not an object of keys and values")


def nearest_of(word: str, known: Sequence[str], kind: str) -> str:
    """Ask for the nearest of what is known, or name all of it where nothing is near; `kind` is its plural."""
    nearest = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else f"the known {kind} are {', '.join(known)}"


def fields_of(part: type[BaseModel]) -> dict[str, FieldInfo]:
    """Name a model's fields as the files do."""
    return {field.alias or name: field for name, field in part.model_fields.items()}


def value_type(annotation: Any) -> Any:
    """Say what an annotation is where there is a value: what may be left out is written "X | None"."""
    return get_args(annotation)[0] if isinstance(annotation, UnionType) else annotation


def is_part(annotation: Any) -> bool:
    """Tell if values of a type are objects with keys of their own."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def explained(root: type[BaseModel], error: ErrorDetails) -> str:
    """Write one error found in the values of `root`, with its JSON path; a field's description says what to give instead."""
    return f"${path(error['loc'])}: {_explanation(root, error)}"


def _explanation(root: type[BaseModel], error: ErrorDetails) -> str:
    *parents, last = error["loc"]
    owner = _type_at(root, parents)
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return f"is missing and has no default — give {_meaning(owner, last)}"
    if error["type"] == "extra_forbidden":
        return f"is not a known key — it would have no effect; {_hint(root, owner, str(last))}"
    return f"{shown(error['input'])} {_NOT_OF_TYPE.get(error['type'], error['msg'])} — give {_meaning(owner, last)}"


def _hint(root: type[BaseModel], owner: type[BaseModel], key: str) -> str:
    """Say where a key belongs that is another object's, such as a resource of Istio's that has it elsewhere; else the nearest."""
    elsewhere = [place for place in _places(root, "$") if place.rpartition(".")[2] == key]
    return f"did you mean {elsewhere[0]}?" if len(elsewhere) == 1 else nearest_of(key, [*fields_of(owner)], "keys here")


def _places(part: type[BaseModel], at: str) -> Iterator[str]:
    """List the paths of all keys; * stands for a name that the file chooses."""
    for key, field in fields_of(part).items():
        yield f"{at}.{key}"
        inner, below = value_type(field.annotation), f"{at}.{key}"
        if get_origin(inner) is Mapping:
            inner, below = get_args(inner)[1], f"{below}.*"
        if is_part(inner):
            yield from _places(inner, below)


def _type_at(root: type[BaseModel], location: list[int | str]) -> Any:
    """Follow the annotations from the top; in a mapping any name leads to the type of its values, in a list any place."""
    annotation: Any = root
    for step in location:
        if is_part(annotation):
            annotation = value_type(fields_of(annotation)[str(step)].annotation)
        else:
            annotation = get_args(annotation)[0 if isinstance(step, int) else 1]
    return annotation


def _meaning(owner: Any, key: int | str) -> str:
    if is_part(owner):
        return str(fields_of(owner)[str(key)].description)
    values = get_args(owner)[0 if isinstance(key, int) else 1]
    return f"an object with the keys {', '.join(fields_of(values))}" if is_part(values) else "text"
