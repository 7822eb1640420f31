"""Kubernetes objects as plain data, read as what the rules look at. Pure, and never an exception.

They come from the files of an overlay or from Pulumi's graph; what cannot be read is told with its path.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rules.facts.shapes import KINDS, Header
from rules.facts.values import NOT_OF_TYPE, path, shown
from rules.facts.workloads import Document, Object, ObjectId, Unreadable, Workloads

_KUSTOMIZE = "kustomize.config.k8s.io/"


def read(objects: Iterable[Mapping[str, object]]) -> Workloads:
    """What these objects are to the rules.

    Args:
        objects: Objects as their YAML has them. Numbers may be floats, as Pulumi sends them. A kustomization is no object of a
            cluster and passed over.

    Returns:
        The objects that can be read; the others are in `unreadable`, one entry for each fault.
    """
    documents: dict[ObjectId, Document] = {}
    read_ones: list[Object] = []
    unreadable: list[Unreadable] = []
    for position, found in enumerate(objects, 1):
        if isinstance(found, Mapping) and str(found.get("apiVersion")).startswith(_KUSTOMIZE):
            continue
        try:
            header = Header.model_validate(found)
        except ValidationError as error:
            unreadable += _faults(_called(found, position), _kind(found), error)
            continue
        identity = ObjectId(header.kind, header.metadata.namespace, header.metadata.name)
        if identity in documents:
            what = "is there twice, and only one of the two would stay"
            unreadable.append(Unreadable(str(identity), what, identity.kind))
            continue
        documents[identity] = found
        if identity.kind not in KINDS:
            what = f"no rule judges this kind, and Argo CD may not apply it: it may apply {', '.join(KINDS)}"
            unreadable.append(Unreadable(str(identity), what, identity.kind))
            continue
        group, shape = KINDS[identity.kind]
        if header.api_version.rpartition("/")[0] != group:
            what = f"{shown(header.api_version)} is no version of {group or 'the core API'}"
            unreadable.append(Unreadable(f"{identity}: apiVersion", what, identity.kind))
            continue
        try:
            read_ones.append(shape.model_validate(found).fact(identity))
        except ValidationError as error:
            unreadable += _faults(str(identity), identity.kind, error)
            with contextlib.suppress(ValidationError):
                # the rules speak of what they know of it all the same
                read_ones.append(shape.model_validate(found, extra="ignore").fact(identity))
    return Workloads.of(read_ones, documents, unreadable)


def _called(found: object, position: int) -> str:
    """Name an object of which not even the head can be read."""
    kind = _kind(found)
    return f"object {position}, a {kind}" if kind else f"object {position}"


def _kind(found: object) -> str | None:
    kind = found.get("kind") if isinstance(found, Mapping) else None
    return kind if isinstance(kind, str) and kind else None


def _faults(called: str, kind: str | None, error: ValidationError) -> Iterator[Unreadable]:
    for each in error.errors(include_url=False):
        where = path(each["loc"]).removeprefix(".")
        yield Unreadable(f"{called}: {where}" if where else called, _explained(each), kind)


def _explained(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return f"{shown(error['input'])} is judged by no rule"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["input"] is None:
        return "is empty"
    if error["type"] == "missing":
        return "is missing"
    what = NOT_OF_TYPE.get(error["type"])
    return f"{shown(error['input'])} {what}" if what else f"{shown(error['input'])}: {error['msg']}"
