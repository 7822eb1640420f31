"""A stack file edited as text: what is not meant stays as it is, byte for byte. Pure.

The places are those that the YAML parser found, so flow and block style are edited alike; what came of it is read again, and is
refused unless it says what was meant and nothing else.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Mapping

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from stackfile.document import DocumentError, read_document
from stackfile.keys import ONLY_SERVICE
from stackfile.messages import nearest_of
from stackfile.model import PROJECT

_CONFIG = ("config",)
_ROUTES = ("spec", "http")
_SERVICES = f"{PROJECT}:services"
_WHY = "the file is changed at this one place, and the rest of it stays as it is"
_BY_HAND = "change it by hand, render (make render) and commit"
_NUMBER = re.compile(r"[0-9]+")


class EditError(ValueError):
    """A stack file cannot be edited: what is wrong, why that keeps it from being edited, and what to do about it."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        self.what, self.why, self.fix = what, why, fix
        super().__init__(f"{what} — {why}; {fix}")


_Edit = tuple[int, int, str]
"""Two offsets, and the text that takes the place of what is between them."""


def with_weights(text: str, service: str, weights: Mapping[str, int]) -> str:
    """The file with these weights of a service: their digits change and nothing else.

    Args:
        text: What is in a stack file.
        service: The service's name.
        weights: Whole percents by version; a version that is not named keeps its own.

    Raises:
        EditError: there is no such service or version, it has no weight of its own, or the file is no YAML.
    """
    path = (*_service(text, service), "versions")
    versions = _mapping(text, path)
    edits = []
    expected = read_document(text.encode()).value
    for version, weight in weights.items():
        edits.append(_digits(text, _entry(versions, version, path)[1], (*path, version), weight))
        _object_at(expected, (*path, version))["weight"] = weight
    return _edited(text, edits, expected, path)


def with_version(text: str, service: str, version: str, like: str, settings: Mapping[str, object]) -> str:
    """The file with another version behind the others, in the form of one that is there: with weight 0 and its settings, but `testers`.

    Args:
        text: What is in a stack file.
        service: The service's name.
        version: The new version's.
        like: The one whose settings it gets.
        settings: Those that are its own, by key.

    Raises:
        EditError: there is no such service or version to be like, or the file is no YAML.
    """
    path = (*_service(text, service), "versions")
    versions = _mapping(text, path)
    key, node = _entry(versions, like, path)
    form = _is_object(node, (*path, like))
    expected = read_document(text.encode()).value
    # false stands for one that is to be removed
    copied = {key: value for key, value in _object_at(expected, (*path, like)).items() if key != "testers"}
    said = {**copied, **settings, "weight": 0}
    _object_at(expected, path)[version] = said
    in_braces = versions.flow_style or form.flow_style
    indent = None if in_braces else form.start_mark.column - key.start_mark.column
    return _edited(text, [_addition(text, versions, -1, _written({version: said}, indent))], expected, path)


def with_route_weights(text: str, weights: Mapping[str, int]) -> str:
    """The VirtualService that is rendered of a stack file, with these weights: their digits change and nothing else.

    Args:
        text: What is in its file.
        weights: Whole percents by version, which is the name of its subset; one that is not named gets none.

    Raises:
        EditError: no destination is a version that has a weight, or the file is no YAML.
    """
    node = _mapping(text, ())
    expected = read_document(text.encode()).value
    edits, missing = [], {version for version, weight in weights.items() if weight}
    for owner, said in _destinations(node, expected):
        subset = str(_object_at(said, ("destination",)).get("subset"))
        said["weight"] = weights.get(subset, 0)
        edits.append(_digits(text, owner, _ROUTES, weights.get(subset, 0)))
        missing.discard(subset)
    if missing:
        raise EditError(f"no route leads to {', '.join(sorted(missing))}", "a weight needs a destination", _BY_HAND)
    return _edited(text, edits, expected, _ROUTES)


def without_version(text: str, service: str, version: str) -> str:
    """The file without a version, and without `stable` if that names it. Comments on its own lines go with it, others stay.

    Raises:
        EditError: there is no such service or version, or no other version, or the file is no YAML.
    """
    place = _service(text, service)
    path = (*place, "versions")
    versions = _mapping(text, path)
    position = _entry_number(versions, version, path)
    if len(versions.value) == 1:
        raise EditError(
            f"{'.'.join(path)} has no version but {version}",
            "without it nobody would answer",
            "add another version first",
        )
    edits = [_removal(text, versions, position)]
    expected = read_document(text.encode()).value
    del _object_at(expected, path)[version]
    if _object_at(expected, place).get("stable") == version:
        owner = _mapping(text, place)
        edits.append(_removal(text, owner, _entry_number(owner, "stable", place)))
        del _object_at(expected, place)["stable"]
    return _edited(text, edits, expected, path)


def without_testers(text: str, service: str, version: str) -> str:
    """The file in which testers cannot ask for a version: its `testers` is false, and where it has none, it gets one after its weight.

    Raises:
        EditError: there is no such service or version, it has no weight of its own, or the file is no YAML.
    """
    path = (*_service(text, service), "versions", version)
    owner = _mapping(text, path)
    expected = read_document(text.encode()).value
    said = _object_at(expected, path)
    if "testers" in said:
        edit = _false(text, *_entry(owner, "testers", path))
    else:
        edit = _addition(text, owner, _entry_number(owner, "weight", path), "testers: false")
    said["testers"] = False
    return _edited(text, [edit], expected, path)


def _false(text: str, key: Node, value: Node) -> _Edit:
    start, end = value.start_mark.index, value.end_mark.index
    if start == end:
        # for the parser, what has no value ends where the next key begins
        start = end = text.index(":", key.end_mark.index) + 1
        return start, end, " false"
    return start, end, "false"


def _addition(text: str, owner: MappingNode, position: int, added: str) -> _Edit:
    """Another entry right after one of an object: in braces, or else on lines of its own."""
    key, value = owner.value[position]
    end = _end(value)
    if owner.flow_style:
        return end, end, f", {added}"
    end = text.find("\n", end) if "\n" in text[end:] else len(text)
    line_end = "\r\n" if text[:end].endswith("\r") else "\n"
    end -= len(line_end) - 1
    return end, end, "".join(f"{line_end}{' ' * key.start_mark.column}{line}" for line in added.splitlines())


def _written(entry: Mapping[str, object], indent: int | None) -> str:
    """An entry of an object as text: in blocks with this indent, or with braces in one line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.map_indent, yaml.width = indent is None, indent, sys.maxsize
    yaml.dump(entry, stream := io.StringIO())
    written = stream.getvalue().strip()
    return written[1:-1] if indent is None else written


def _service(text: str, service: str) -> tuple[str, ...]:
    """Where a service is; in a file from before there were several, `echo` is a setting by itself."""
    alone = f"{PROJECT}:{ONLY_SERVICE}"
    keys = [key.value for key, _ in _mapping(text, _CONFIG).value]
    older = service == ONLY_SERVICE and alone in keys and _SERVICES not in keys
    return (*_CONFIG, alone) if older else (*_CONFIG, _SERVICES, service)


def _mapping(text: str, path: tuple[str, ...]) -> MappingNode:
    """The object at a path of keys, with the places of its parts."""
    try:
        node = read_document(text.encode()).node
    except DocumentError as error:
        raise EditError(f"the stack file is no YAML: {error}", _WHY, "mend it there") from error
    for depth, key in enumerate(path):
        node = _entry(_is_object(node, path[:depth]), key, path[:depth])[1]
    return _is_object(node, path)


def _is_object(node: Node | None, path: tuple[str, ...]) -> MappingNode:
    if isinstance(node, MappingNode):
        return node
    raise EditError(f"{'.'.join(path) or 'the file'} is no object of keys and values", _WHY, "mend it there")


def _entry(owner: MappingNode, key: str, path: tuple[str, ...]) -> tuple[Node, Node]:
    found: tuple[Node, Node] = owner.value[_entry_number(owner, key, path)]
    return found


def _entry_number(owner: MappingNode, key: str, path: tuple[str, ...]) -> int:
    keys = [name.value if isinstance(name, ScalarNode) else None for name, _ in owner.value]
    if key in keys:
        return keys.index(key)
    known = [name for name in keys if isinstance(name, str)]
    raise EditError(
        f"{'.'.join(path) or 'the file'} has no key {key}",
        _WHY,
        nearest_of(key, known, "keys there") if known else _BY_HAND,
    )


def _destinations(node: Node, value: object) -> Iterator[tuple[MappingNode, dict[str, object]]]:
    """Each object that gives a destination a weight, in the text and as data."""
    if isinstance(node, SequenceNode) and isinstance(value, list):
        for inner, each in zip(node.value, value, strict=True):
            yield from _destinations(inner, each)
    if isinstance(node, MappingNode) and isinstance(value, dict):
        if "weight" in value and isinstance(value.get("destination"), dict):
            yield node, value
        for key, inner in node.value:
            yield from _destinations(inner, value.get(str(key.value)))


def _digits(text: str, version: Node, path: tuple[str, ...], weight: int) -> _Edit:
    value = _entry(_is_object(version, path), "weight", path)[1]
    start, end = value.start_mark.index, value.end_mark.index
    found = _NUMBER.search(text, start, end)
    if not isinstance(value, ScalarNode) or found is None:
        raise EditError(f"{'.'.join(path)}.weight is no number", _WHY, _BY_HAND)
    return (*found.span(), str(weight))


def _removal(text: str, owner: MappingNode, position: int) -> _Edit:
    """What to cut so that one entry of an object goes: its lines if it has them for itself, else it and one comma."""
    key, value = owner.value[position]
    start, end = key.start_mark.index, _end(value)
    line_start = text.rfind("\n", 0, start) + 1
    rest = re.compile(r"[ \t]*,?[ \t]*(#[^\n]*)?(\r?\n|$)").match(text, end)
    if not text[line_start:start].strip() and rest:
        return line_start, rest.end(), ""
    if position + 1 < len(owner.value):
        return start, owner.value[position + 1][0].start_mark.index, ""
    return _end(owner.value[position - 1][1]) if position else start, end, ""


def _end(node: Node) -> int:
    """Where the text of a value ends: a block ends for the parser only where the next begins, comments in between."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    end: int = node.end_mark.index
    return end


def _object_at(document: object, path: tuple[str, ...]) -> dict[str, object]:
    for key in path:
        assert isinstance(document, dict), "its node was found"
        document = document[key]
    assert isinstance(document, dict), "its node was found"
    return document


def _edited(text: str, edits: list[_Edit], expected: object, path: tuple[str, ...]) -> str:
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    try:
        said = read_document(text.encode()).value
    except DocumentError:
        said = None
    if said != expected:
        raise EditError(
            f"{'.'.join(path)} is written so that a version cannot be changed by itself (an alias, a number in quotes)",
            "another value would change with it",
            _BY_HAND,
        )
    return text
