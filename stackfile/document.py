"""The text of a YAML file as plain data, as Pulumi passes it on; and which of its keys are there twice."""

import io
from collections.abc import Iterator, Mapping, Set
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rules.facts.values import in_one_line

_Steps = tuple[int | str, ...]


class DocumentError(ValueError):
    """The text is no YAML; the message says where and what in one line."""


Duplicate = tuple[_Steps, tuple[int, ...]]
"""A key that is in an object twice or more often: where it is from the top of the document, and its lines, counted from 1."""


@dataclass(frozen=True)
class Document:
    """What a file says; of a key that is there twice the first value. Its node has the places of all parts, and stays as it is."""

    value: object
    duplicates: tuple[Duplicate, ...]
    node: Node | None


def read_document(content: bytes) -> Document:
    """Read YAML 1.2 as data that JSON can hold: keys and dates are text, and the keys of an object in the order of the alphabet.

    Raises:
        DocumentError: If it cannot be read as one document, or something in it contains itself.
    """
    read = _read(content)
    return replace(read, value=deepcopy(read.value))


# an edit reads a file before and after it, and the next one begins with that
@lru_cache(maxsize=64)
def _read(content: bytes) -> Document:
    yaml = YAML(typ="safe", pure=True)
    # all of them are told, not the first alone
    yaml.allow_duplicate_keys = True
    try:
        # the parser passes over a byte order mark, as Pulumi does
        text = content.decode()
        node = yaml.compose(io.StringIO(text))
        duplicates = tuple(_duplicates(node, (), ())) if node is not None else ()
        # a node with merges is taken apart by that
        built = yaml.compose(io.StringIO(text)) if "<<" in text else node
        plain = _plain(yaml.constructor.construct_document(built)) if built is not None else None
    except YAMLError as error:
        raise DocumentError(in_one_line(error)) from error
    except (UnicodeDecodeError, ValueError) as error:
        raise DocumentError(str(error)) from error
    except RecursionError as error:
        raise DocumentError("its lists and objects are nested too deeply") from error
    return Document(plain, duplicates, node)


def _duplicates(node: Node, path: _Steps, above: tuple[Node, ...]) -> Iterator[Duplicate]:
    if any(node is each for each in above):
        raise DocumentError(f"line {node.start_mark.line + 1}: what the alias here stands for contains itself")
    above = (*above, node)
    if isinstance(node, SequenceNode):
        for position, inner in enumerate(node.value):
            yield from _duplicates(inner, (*path, position), above)
    if isinstance(node, MappingNode):
        lines: dict[str, list[int]] = {}
        for key, inner in node.value:
            name = str(key.value) if isinstance(key, ScalarNode) else repr(key.value)
            lines.setdefault(name, []).append(key.start_mark.line + 1)
            yield from _duplicates(inner, (*path, name), above)
        yield from (((*path, name), tuple(found)) for name, found in lines.items() if len(found) > 1)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        # a key is written as Pulumi writes it
        named = {str(key).lower() if isinstance(key, bool) else str(key): _plain(each) for key, each in value.items()}
        return dict(sorted(named.items()))
    if isinstance(value, list | tuple | Set):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
