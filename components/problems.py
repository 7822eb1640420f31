"""Turn pydantic's errors into lines that a person can act on: where, what is wrong, why it matters, what to do."""

import difflib
import json
import re
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_Location = tuple[int | str, ...]
_NOT_OF_TYPE = {
    "string_type": "is not text (a number or a word such as true needs quotes)",
    "bool_type": "is neither true nor false",
    "literal_error": "is not a value known here",
} | dict.fromkeys(
    ("model_type", "model_attributes_type", "dict_type", "mapping_type"), "is not an object of keys and values"
)


def shown(value: object) -> str:
    """Write a value as a file has it, short enough for one line."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def fields_of(part: type[BaseModel]) -> dict[str, FieldInfo]:
    """Name a model's fields as the files do."""
    return {field.alias or name: field for name, field in part.model_fields.items()}


def explained(root: type[BaseModel], error: ErrorDetails) -> str:
    """Write one error found in the values of `root`, with its JSON path; a field's description says what to give instead."""
    return f"{_path(error['loc'])}: {_explanation(root, error)}"


def _path(location: _Location) -> str:
    steps = [str(step) for step in location if step != "[key]"]
    return "$" + "".join(f".{step}" if re.fullmatch(r"[\w-]+", step) else f"[{shown(step)}]" for step in steps)


def _explanation(root: type[BaseModel], error: ErrorDetails) -> str:
    *parents, last = error["loc"]
    owner = _type_at(root, parents)
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return f"is missing and has no default — give {_meaning(owner, last)}"
    if error["type"] == "extra_forbidden":
        known = fields_of(owner)
        nearest = difflib.get_close_matches(str(last), known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"the known keys here are {', '.join(known)}"
        return f"is not a known key — it would have no effect; {hint}"
    return f"{shown(error['input'])} {_NOT_OF_TYPE.get(error['type'], error['msg'])} — give {_meaning(owner, last)}"


def _type_at(root: type[BaseModel], location: list[int | str]) -> Any:
    """Follow the annotations from the top; in a mapping any name leads to the type of its values."""
    annotation: Any = root
    for step in location:
        annotation = fields_of(annotation)[str(step)].annotation if _is_model(annotation) else get_args(annotation)[1]
        if isinstance(annotation, UnionType):  # what may be left out is written "X | None"
            annotation = get_args(annotation)[0]
    return annotation


def _meaning(owner: Any, key: int | str) -> str:
    if _is_model(owner):
        return str(fields_of(owner)[str(key)].description)
    return f"an object with the keys {', '.join(fields_of(get_args(owner)[1]))}"


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
