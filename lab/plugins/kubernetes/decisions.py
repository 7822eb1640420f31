"""What to send, what differs and what that difference costs: pure functions on Kubernetes objects as plain dicts."""

from __future__ import annotations

import base64
import copy
import dataclasses
import decimal
import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from lab.plugins.kubernetes.values import UNKNOWN, has_unknown, rebuilt

Path: TypeAlias = tuple[str | int, ...]
Object: TypeAlias = dict[str, Any]

AUTONAMED: Final = "pulumi.com/autonamed"
CREATOR: Final = "pulumi-kubernetes"  # field manager of the POST that creates; the first update takes its fields over
_READ_ONLY_METADATA: Final = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
]
# What forces a replacement, by group and kind: from the table of the official provider 4.34 (provider/pkg/provider/diff.go).
_FORCE_NEW: Final = {
    "apps/DaemonSet": "spec.selector",
    "apps/Deployment": "spec.selector",
    "apps/StatefulSet": (
        "spec.podManagementPolicy spec.revisionHistoryLimit spec.selector spec.serviceName spec.volumeClaimTemplates"
    ),
    "batch/Job": "spec.completions spec.parallelism spec.selector spec.template",
    "rbac.authorization.k8s.io/ClusterRoleBinding": "roleRef",
    "rbac.authorization.k8s.io/RoleBinding": "roleRef",
    "storage.k8s.io/StorageClass": "parameters provisioner",
    "/ConfigMap": "binaryData data",
    "/PersistentVolumeClaim": "spec.accessModes spec.selector spec.storageClassName spec.volumeName",
    "/Pod": "spec",
    "/ResourceQuota": "spec.scopes",
    "/Secret": "type stringData data",
    "/Service": "spec.clusterIP",
}
# All of a Pod's spec is fixed but these.
_POD_IN_PLACE: Final = ("tolerations", "activeDeadlineSeconds", "ephemeralContainers")
_DATA: Final = frozenset({"binaryData", "data", "stringData"})
_QUANTITY_PARENTS: Final = frozenset(
    ["requests", "limits", "hard", "capacity", "min", "max", "default", "defaultRequest", "overhead"]
)
_QUANTITY: Final = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:[eE]([+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")
_FACTORS: Final = {
    "": decimal.Decimal(1),
    **{suffix: decimal.Decimal(1000) ** power for power, suffix in zip((-3, -2, -1), "num", strict=True)},
    **{suffix: decimal.Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": decimal.Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
_MISSING: Final = object()


@dataclasses.dataclass(frozen=True)
class Change:
    """One difference between what is there and what is wanted. `kind` is ADD, DELETE or UPDATE; `value` the wanted one."""

    path: Path
    kind: str
    value: Any


@dataclasses.dataclass(frozen=True)
class Difference:
    """What an update would change, and at what price."""

    changes: list[Change]
    replaces: list[Path]
    delete_before_replace: bool


def group_kind(obj: Object) -> str:
    """`apps/Deployment`; `/Service` for the core group."""
    group, slash, _ = str(obj.get("apiVersion", "")).partition("/")
    return f"{group if slash else ''}/{obj.get('kind', '')}"


def annotation(obj: Object, name: str) -> str:
    """An annotation's value, empty where it is absent or not known yet."""
    metadata = obj.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    found = annotations.get(name) if isinstance(annotations, dict) else None
    return found if isinstance(found, str) else ""


def identity(obj: Object) -> str:
    """The id that Pulumi knows an object by: `namespace/name`, or `name`."""
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def unique_name(prefix: str, seed: bytes = b"") -> str:
    """`<prefix>-<8 hex>`, the same for the same seed; random without one."""
    return f"{prefix}-{hashlib.sha512(prefix.encode() + (seed or secrets.token_bytes(32))).hexdigest()[:8]}"


def named(inputs: Object, olds: Object, proposed: str) -> Object:
    """`inputs` with a name: their own, else that which was generated before, else `proposed` (annotated as generated)."""
    metadata = inputs.get("metadata") or {}
    if metadata is UNKNOWN or metadata.get("name"):
        return inputs
    name = olds["metadata"]["name"] if annotation(olds, AUTONAMED) == "true" else proposed
    annotations = metadata.get("annotations") or {}
    if annotations is not UNKNOWN:
        annotations = {**annotations, AUTONAMED: "true"}
    return {**inputs, "metadata": {**metadata, "name": name, "annotations": annotations}}


def normalised(inputs: Object) -> Object:
    """What the API server would make of the inputs anyway, so that it never shows as a difference afterwards."""
    result: Object = underscored(inputs)
    if isinstance(result.get("metadata"), dict):
        result["metadata"] = {key: value for key, value in result["metadata"].items() if key not in _READ_ONLY_METADATA}
    if result.get("kind") == "CustomResourceDefinition":
        result.pop("status", None)
        if isinstance(result.get("spec"), dict) and result["spec"].get("preserveUnknownFields") is False:
            del result["spec"]["preserveUnknownFields"]
    if group_kind(result) == "/Secret" and result.get("stringData") and not has_unknown(result):
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in result.pop("stringData").items()}
        result["data"] = {**(result.get("data") or {}), **encoded}
    return result


def underscored(value: Any) -> Any:
    """Property names as Pulumi has them: `x_kubernetes_…`."""
    rename = lambda key: key.replace("-", "_") if key.startswith("x-kubernetes-") else key  # noqa: E731
    return rebuilt(value, lambda leaf: leaf, rename)


def dashed(value: Any) -> Any:
    """Property names as Kubernetes has them: `x-kubernetes-…`."""
    rename = lambda key: key.replace("_", "-") if key.startswith("x_kubernetes_") else key  # noqa: E731
    return rebuilt(value, lambda leaf: leaf, rename)


def pruned(live: Any, shape: Any) -> Any:
    """`live` cut down to the keys that `shape` has, so that what the cluster filled in is no difference."""
    if isinstance(live, dict) and isinstance(shape, dict):
        return {key: pruned(value, shape[key]) for key, value in live.items() if key in shape}
    if isinstance(live, list) and isinstance(shape, list) and shape:
        return [pruned(item, form) for item, form in zip(live, shape, strict=False)]
    return live


def changes(old: Any, new: Any, path: Path = ()) -> Iterator[Change]:
    """The differences from `old` (what is there) to `new` (what is wanted), as deep as they go."""
    if old is _MISSING:
        if not (new in (None, []) or (new == {} and path[:1] == ("metadata",))):
            yield Change(path, "ADD", new)
    elif new is _MISSING or new is None:
        if old is not None:
            yield Change(path, "DELETE", old)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in {**new, **old}:
            yield from changes(old.get(key, _MISSING), new.get(key, _MISSING), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before, after = (side[index] if index < len(side) else _MISSING for side in (old, new))
            yield from changes(before, after, (*path, index))
    elif not _same(old, new, path):
        yield Change(path, "UPDATE", new)


def difference(old: Object, new: Object, ignore: Iterable[str], mutable_kinds: Iterable[str] = ()) -> Difference:
    """What it takes to get from one to the other. `ignore` holds Pulumi property paths; `mutable_kinds` keep their data mutable.

    An object that must be replaced under the name that it was given makes room for its successor first.
    """
    ignored = [parse_path(path) for path in ignore]
    found = [change for change in changes(old, new) if not any(_starts(change.path, path) for path in ignored)]
    data_is_mutable = new["kind"] in mutable_kinds and not new.get("immutable")
    forced: list[tuple[str, ...]] = [("metadata", "name"), ("metadata", "namespace")]
    forced += [
        tuple(p.split(".")) for p in _FORCE_NEW.get(group_kind(new), "").split() if not (data_is_mutable and p in _DATA)
    ]
    replaces = [change.path for change in found if any(_forces(change, path) for path in forced)]
    same_place = all(old["metadata"].get(key) == new["metadata"].get(key) for key in ("name", "namespace"))
    return Difference(found, replaces, bool(replaces) and same_place and annotation(new, AUTONAMED) != "true")


def parse_path(text: str) -> Path:
    """A Pulumi property path such as `spec.ports[0]["a.b"]`; `*` stands for anything."""
    parts = re.findall(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|\[(\*)\]|([^.\[\]]+)', text)
    return tuple(int(index) if index else quoted or star or name for quoted, index, star, name in parts)


def format_path(path: Path) -> str:
    """The inverse of `parse_path`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.search(r'[."\[\]]', part):
            text += '["' + part.replace('"', '\\"') + '"]'
        else:
            text += f".{part}" if text else part
    return text


def with_live_values(inputs: Object, live: Object, paths: Iterable[str]) -> Object:
    """`inputs` that ask for what is live at the given property paths, where it is live at all."""
    result = copy.deepcopy(inputs)
    for path in map(parse_path, paths):
        source, target = live, result
        try:
            for part in path[:-1]:
                source, target = source[part], target[part]  # type: ignore[index]
            target[path[-1]] = source[path[-1]]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            continue
    return result


def taken_over(live: Object, manager: str) -> list[Object] | None:
    """The `managedFields` of `live` after `manager` took over the fields of whoever made it; None if there is nothing to take.

    Without it a field that the program no longer names would stay for ever: its creator would still own it.
    """
    former = {(CREATOR, "Update"), ("kubectl", "Update"), ("kubectl", "Apply"), ("before-first-apply", "Update")}
    entries = live["metadata"].get("managedFields") or []
    mergeable = former | {(manager, "Apply")}
    ours = [e for e in entries if not e.get("subresource") and (e["manager"], e["operation"]) in mergeable]
    if all(e["manager"] == manager for e in ours):
        return None
    fields: Object = {}
    for entry in ours:
        fields = _union(fields, entry.get("fieldsV1") or {})
    merged = {**ours[0], "manager": manager, "operation": "Apply", "apiVersion": live["apiVersion"], "fieldsV1": fields}
    return [*(e for e in entries if e not in ours), merged]


def quantity(text: Any) -> decimal.Decimal | None:
    """The number that a Kubernetes quantity means; None if it is none."""
    match = _QUANTITY.fullmatch(str(text))
    return decimal.Decimal(f"{match[1]}e{match[2] or 0}") * _FACTORS[match[3] or ""] if match else None


def _same(old: Any, new: Any, path: Path) -> bool:
    if isinstance(old, bool) == isinstance(new, bool) and old == new:
        return True
    is_quantity = len(path) > 1 and path[-2] in _QUANTITY_PARENTS and quantity(old) is not None
    return is_quantity and quantity(old) == quantity(new)


def _forces(change: Change, forced: Path) -> bool:
    if forced == ("spec",):
        return change.path[:1] == forced and change.path[1:2] not in [(field,) for field in _POD_IN_PLACE]
    value, rest = change.value, forced[len(change.path) :]
    for part in rest:  # a change above the forced path forces too if it sets that path
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return _starts(change.path, forced[: len(change.path)])


def _starts(path: Path, prefix: Path) -> bool:
    return len(path) >= len(prefix) and all(want in (part, "*") for part, want in zip(path, prefix, strict=False))


def _union(one: Object, other: Object) -> Object:
    return {**one, **{key: _union(one.get(key) or {}, value) for key, value in other.items()}}
