"""Every field that the APIs know of the objects that are delivered, each changed, taken away or added: `python -m tests.rules.schema`.

The SDKs' classes are generated from Kubernetes' OpenAPI and from Istio's CRDs, so their fields are the APIs' own.
"""

from __future__ import annotations

import copy
import typing
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pulumi import _types
from pulumi_kubernetes.apps.v1.outputs import DeploymentSpec
from pulumi_kubernetes.core.v1 import ServiceAccount
from pulumi_kubernetes.core.v1.outputs import ServiceSpec
from pulumi_kubernetes.meta.v1.outputs import ObjectMeta
from pulumi_kubernetes.policy.v1.outputs import PodDisruptionBudgetSpec
from pulumi_kubernetes_istio.networking.v1.outputs import DestinationRuleSpec, VirtualServiceSpec
from rich.console import Console
from rich.table import Table

from rules.change.differences import differences
from rules.facts.manifests import read
from rules.facts.region import Change
from rules.facts.shapes import KINDS, Closed, part_of
from rules.facts.workloads import Document
from rules.finding import Finding, Severity
from rules.judgement import judge
from tests.rules import good

Path = tuple[str | int, ...]
Treatment = Literal["judged", "harmless", "refused"]
SPECS: Mapping[str, type] = {
    "Deployment": DeploymentSpec,
    "Service": ServiceSpec,
    "PodDisruptionBudget": PodDisruptionBudgetSpec,
    "DestinationRule": DestinationRuleSpec,
    "VirtualService": VirtualServiceSpec,
}
_OF_EVERY_OBJECT = {"apiVersion": str, "kind": str, "metadata": ObjectMeta}
_BY_THE_CLUSTER = frozenset({"status", "id"})
_DEEPEST = 3
"""How many levels of an added object are made: an affinity has many."""


@dataclass(frozen=True)
class Mutant:
    """One object with one thing changed, and what is said of it.

    Attributes:
        field: The place, with `[]` for any entry of a list.
        how: changed, removed or added.
        treatment: What its shape says of such a field.
        effects: What is told of each difference.
        findings: What the rules say.
    """

    kind: str
    field: str
    how: str
    treatment: Treatment
    effects: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        return any(each.severity is Severity.REFUSED for each in self.findings)


def api_fields(kind: str) -> Mapping[str, Any]:
    """The fields of a kind at its top with their types."""
    if kind == "ServiceAccount":
        own = {name: typ for name, typ in _types.resource_types(ServiceAccount).items() if name not in _BY_THE_CLUSTER}
        return {**own, **_OF_EVERY_OBJECT}
    return {**_OF_EVERY_OBJECT, "spec": SPECS[kind]}


def mutants() -> Iterator[Mutant]:
    """All of them, of every object of a region that has all that a stack file can ask for."""
    wanted = {"v1": good.Wanted(90, testers=True), "v2": good.Wanted(10, testers=True)}
    before = good.region(wanted=wanted, gateway=good.GATEWAY, sleep_seconds=5, mounts=True)
    documents = dict(before.workloads.documents)
    for identity, document in documents.items():
        for path, how, mutant in _mutated(document, api_fields(identity.kind)):
            after = replace(
                before, workloads=read([*(each for at, each in documents.items() if at != identity), mutant])
            )
            found = judge([Change(before, after)])
            told = differences(before.workloads, after.workloads)
            yield Mutant(
                identity.kind,
                _written(path),
                how,
                treatment(identity.kind, path),
                tuple(each.effect for each in told),
                found,
            )


def treatment(kind: str, path: Path) -> Treatment:
    """What the shapes say of a field."""
    shape: type[Closed] | None = KINDS[kind][1]
    for step in path:
        if isinstance(step, int):
            continue
        if shape is None:
            return "judged"
        field = next((each for each in shape.model_fields.values() if each.alias == step), None)
        if field is None:
            return "refused"
        if field.json_schema_extra:
            return "harmless"
        shape = part_of(field.annotation)
    return "judged"


def _mutated(value: Any, types: Mapping[str, Any]) -> Iterator[tuple[Path, str, Document]]:
    """Every way to change one thing below a value of these fields."""
    for path, how, new in _of_object(value, types):
        yield path, how, _with(value, path, new)


_GONE = object()


def _of_object(value: Mapping[str, Any], types: Mapping[str, Any], entry: Any = str) -> Iterator[tuple[Path, str, Any]]:
    for name, typ in types.items():
        if name in value:
            yield (name,), "removed", _GONE
            for path, how, new in _of_value(value[name], typ):
                yield (name, *path), how, new
        else:
            example = _example(typ)
            yield (name,), "added", example
            if _fields(typ):
                yield from (((name,), "added", {inner: each}) for inner, each in example.items())
    for name in value.keys() - types.keys():
        # an entry of a map, such as a label
        yield (name,), "removed", _GONE
        yield (name,), "changed", f"{value[name]}x"
        for path, how, new in _of_value(value[name], entry) if isinstance(value[name], dict) else ():
            yield (name, *path), how, new
    yield ("unheardOf",), "added", "x"


def _of_value(value: Any, typ: Any) -> Iterator[tuple[Path, str, Any]]:
    if isinstance(value, dict):
        if value:
            yield (), "changed", {}
        yield from _of_object(value, _fields(typ), _entry(typ))
    elif isinstance(value, list):
        yield (), "changed", []
        for position, each in enumerate(value):
            yield (), "changed", [*value[:position], *value[position + 1 :]]
            yield (), "changed", [*value, copy.deepcopy(each)]
            for path, how, new in _of_value(each, (get_args(typ) or (Any,))[0]):
                yield (position, *path), how, new
    elif isinstance(value, bool):
        yield (), "changed", not value
    elif isinstance(value, int):
        yield from (((), "changed", new) for new in (value + 1, 0 if value else 2, value * 100 + 7, str(value)))
    else:
        yield from (((), "changed", new) for new in (f"{value}x", "", 1))


@cache
def _fields(typ: Any) -> Mapping[str, Any]:
    """The fields of a class of an SDK, or nothing for a plain map."""
    typ = _types.unwrap_type(typ)
    return {} if get_origin(typ) or not _types.is_output_type(typ) else dict(_types.output_type_types(typ))


def _entry(typ: Any) -> Any:
    """What the values of a map are."""
    typ = _types.unwrap_type(typ)
    return (*get_args(typ), str)[1] if get_origin(typ) else str


def _example(typ: Any, depth: int = 0) -> Any:
    typ = _types.unwrap_type(typ)
    if get_origin(typ) is typing.Union:
        return _example(get_args(typ)[0], depth)
    if get_origin(typ) is not None and issubclass(get_origin(typ), Mapping):
        return {"key": "value"}
    if get_origin(typ) is not None:
        return [_example((get_args(typ) or (str,))[0], depth)]
    fields = _fields(typ)
    if fields:
        return (
            {name: _example(each, depth + 1) for name, each in fields.items()} if depth < _DEEPEST else {"key": "value"}
        )
    return {bool: True, int: 1, float: 1.5}.get(typ, "x")


def _with(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, list):
        position = path[0]
        return [_with(each, path[1:], new) if at == position else each for at, each in enumerate(value)]
    changed = {key: inner for key, inner in value.items() if key != path[0] or len(path) > 1 or new is not _GONE}
    if len(path) > 1 or new is not _GONE:
        changed[path[0]] = _with(value.get(path[0]), path[1:], new)
    return changed


def _written(path: Path) -> str:
    return "".join("[]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def table(found: list[Mutant]) -> Table:
    """How many there are of each kind, and what is said of them."""
    made = Table("kind", "fields", "mutants", "told", "judged", "harmless", "refused", "silent")
    kinds = [*dict.fromkeys(each.kind for each in found)]
    for name in [*kinds, "all"]:
        of = [each for each in found if name in (each.kind, "all")]
        count = Counter("refused" if each.refused else each.treatment for each in of)
        told = sum(any(each.effects) for each in of)
        silent = sum(not any(each.effects) and not each.refused for each in of)
        fields = len({(each.kind, each.field) for each in of})
        cells = (fields, len(of), told, count["judged"], count["harmless"], count["refused"], silent)
        made.add_row(name, *(f"{cell:,}" for cell in cells))
    return made


if __name__ == "__main__":
    Console().print(table(list(mutants())))
