"""The overlay of a region, as it lies in a folder or in a commit: which objects are made of its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import yaml

from rules.facts.manifests import read
from rules.facts.values import in_one_line
from rules.facts.workloads import Document, Unreadable, Workloads

KUSTOMIZATION = "kustomization.yaml"
_UNDERSTOOD = frozenset({"apiVersion", "kind", "resources"})
_SEEN_BY_ARGO_CD = (".yaml", ".yml", ".json", ".jsonnet", "Kustomization")

_Files = Mapping[str, bytes | str]


def objects(files: _Files, folder: str = "") -> Workloads:
    """The workloads of an overlay: what the files hold that its `kustomization.yaml` lists, and no other file.

    Never raises. A file that is listed and missing, empty or no YAML is among the `unreadable`; so is whatever Kustomize is told to
    do besides putting files together, and a file beside them that looks like an object or that Argo CD takes for an instruction,
    since what becomes of them is not judged here.

    Args:
        files: Every file of the overlay's folder, by its path in there.
        folder: Where the folder is, for the messages.
    """
    place = PurePosixPath(folder)
    found = tuple(_found(files, place))
    workloads = read(each for each in found if not isinstance(each, Unreadable))
    problems = tuple(each for each in found if isinstance(each, Unreadable))
    return replace(workloads, unreadable=(*problems, *workloads.unreadable))


def cannot_be_built(files: _Files) -> bool:
    """Whether Kustomize makes nothing of an overlay's files: one that is listed is missing or no object, or they are not listed."""
    listing = _documents(files, KUSTOMIZATION, PurePosixPath(), "")[0]
    names = listing.get("resources") if isinstance(listing, dict) else None
    listed = [str(PurePosixPath(str(name))) for name in names] if isinstance(names, list) else [KUSTOMIZATION, ""]
    return any(isinstance(it, Unreadable) for name in listed for it in _documents(files, name, PurePosixPath(), ""))


def _found(files: _Files, folder: PurePosixPath) -> Iterator[Document | Unreadable]:
    listing, *others = _documents(files, KUSTOMIZATION, folder, "there is no such file")
    where = str(folder / KUSTOMIZATION)
    if isinstance(listing, Unreadable):
        yield listing
        return
    for _ in others:
        yield Unreadable(where, "it holds more than one document, of which one would be read")
    if listing.get("kind", "Kustomization") != "Kustomization":
        yield Unreadable(f"{where}: kind", f"it is {listing['kind']!r} and no Kustomization")
    for key in sorted(listing.keys() - _UNDERSTOOD):
        yield Unreadable(f"{where}: {key}", "Kustomize would change by it what the listed files hold")
    resources = listing.get("resources")
    if not isinstance(resources, list):
        yield Unreadable(f"{where}: resources", f"it is {resources!r} and no list of files")
        return
    names = [str(PurePosixPath(str(name))) for name in resources]
    for name in names:
        yield from _documents(files, name, folder, f"{KUSTOMIZATION} lists it and it is not there")
    for name in sorted(files.keys() - {KUSTOMIZATION, *names}):
        if name.startswith(".argocd"):
            yield Unreadable(str(folder / name), "Argo CD changes by it what it applies")
        elif name.endswith(_SEEN_BY_ARGO_CD):
            yield Unreadable(str(folder / name), f"{KUSTOMIZATION} does not list it, so that nobody applies it")


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]
    """Refuses a key that is there twice, as Kustomize does; PyYAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"{twice} is there twice", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _documents(files: _Files, name: str, folder: PurePosixPath, missing: str) -> tuple[Document | Unreadable, ...]:
    """The documents of a file, or why there is none: at least one of either."""
    where = str(folder / name)
    if name not in files:
        return (Unreadable(where, missing),)
    try:
        documents = tuple(each for each in yaml.load_all(files[name], Loader=_Loader) if each is not None)
    except yaml.YAMLError as error:
        return (Unreadable(where, f"it is no YAML: {in_one_line(error)}"),)
    if not documents:
        return (Unreadable(where, "it is empty"),)
    return tuple(
        each if isinstance(each, dict) else Unreadable(where, f"it holds {each!r} where an object must be")
        for each in documents
    )
