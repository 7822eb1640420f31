"""Kubernetes objects as the files of an overlay: their names, their sync waves, their text. Pure.

A file is a function of its object alone, whatever order the object's keys came in, so that a diff shows what changed and
nothing else.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.resolver import VersionedResolver

from rollout.problem import RolloutError
from rules.facts.overlay import KUSTOMIZATION

HEADER_START = "# Rendered by `rollout render` from "

_SHORT_KINDS = {"DestinationRule": "dr", "PodDisruptionBudget": "pdb", "VirtualService": "vs"}

# what names an object or an entry of a list is at its head; the rest is sorted
_LEADING_KEYS = ("apiVersion", "kind", "metadata", "name", "namespace")

# With a list of its files, an overlay of which one is missing or cannot be read is not applied at all. Without, Argo CD passes
# over a YAML file that it cannot make out, and removes what was in it (`getObjsFromYAMLOrJSON` in its repo-server). Not even
# the list tells of a file that is empty or has comments only: kustomize 5.8.1 takes it for no objects, and so what must not go has
# Prune=false.

_TEXT_TAG = "tag:yaml.org,2002:str"
# a line is as long as its value: a fold would make a diff of text that did not change
_NO_FOLDING = 2**20


def overlay_files(objects: Iterable[Mapping[str, Any]], service: str, stack_file: str) -> dict[str, str]:
    """The text of each file by its name, sorted: one object a file, and their list.

    Args:
        objects: Objects whose names are distinct within a kind.
        service: The name of the service that they are of.
        stack_file: The name of the file that they come from, for the header.

    Raises:
        RolloutError: two objects would have the same file name.
    """
    header = f"{HEADER_START}{stack_file}; change that file, not this one.\n"
    files: dict[str, str] = {}
    for found in objects:
        name = file_name(found["kind"], found["metadata"]["name"], service)
        if name in files:
            raise RolloutError.of(
                f"two objects would be rendered as {name}; one is {found['kind']} {found['metadata']['name']}",
                "one would take the other's place, and Argo CD would remove what is then in no file",
                "give them other names in components/, or their kind a name of its own in rollout/plan/manifests.py",
            )
        files[name] = header + _as_yaml(_in_order(found))
    listed = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(files)}
    files[KUSTOMIZATION] = header + _as_yaml(listed)
    return dict(sorted(files.items()))


def file_name(kind: str, name: str, service: str) -> str:
    """For the service echo, `deployment-v1.yaml` for the Deployment echo-v1, and `vs.yaml` for the VirtualService echo."""
    short_kind = _SHORT_KINDS.get(kind, kind.lower())
    return f"{short_kind}.yaml" if name == service else f"{short_kind}-{name.removeprefix(f'{service}-')}.yaml"


def _in_order(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _in_order(value[key]) for key in sorted(value, key=_rank)}
    return [_in_order(inner) for inner in value] if isinstance(value, list) else value


def _rank(key: str) -> tuple[int, str]:
    return (_LEADING_KEYS.index(key) if key in _LEADING_KEYS else len(_LEADING_KEYS), key)


def _as_yaml(value: dict[str, Any]) -> str:
    stream = io.StringIO()
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = _NO_FOLDING
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(value, stream)
    return stream.getvalue()


class _Representer(RoundTripRepresenter):
    """Quotes text that Kubernetes would read as something else: it reads YAML 1.1, in which a region `no` is false."""

    _yaml_1_1 = VersionedResolver(version=(1, 1))

    def represent_str(self, data: str) -> ScalarNode:
        return self.represent_scalar(_TEXT_TAG, data, style=self._quotes(data))

    def _quotes(self, data: str) -> str | None:
        if not data.isprintable():
            # the only style that escapes: the versions of YAML do not agree on which characters break a line
            return '"'
        return None if self._yaml_1_1.resolve(ScalarNode, data, (True, False)) == _TEXT_TAG else "'"


_Representer.add_representer(str, _Representer.represent_str)
