"""How Pulumi takes the keys of a stack file for a project's settings, and which of them it would pass over in silence."""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from rules.facts.values import path, shown
from stackfile.messages import fields_of, nearest_of
from stackfile.model import PROJECT, RegionConfig

TOP_KEYS = ("config", "secretsprovider", "encryptedkey", "encryptionsalt", "environment")
"""What Pulumi reads at the top of a stack file (`ProjectStack` in its sdk/go/common/workspace); it passes over the rest."""
ONLY_SERVICE = "echo"
"""The one service that there was before a stack file could have several."""
_ALIKE = 0.9
"""From this ratio of difflib's a namespace is a slip of the hand (a letter or two of twelve), not another project."""


def own_values(config: Mapping[str, object]) -> dict[str, object]:
    """Keep a project's values by the names of their keys; Pulumi reads a key that has no namespace as the project's.

    A namespace that resembles the project's counts as well, so that what is below it is checked with the rest.
    """
    return _with_services({name: value for key, value in config.items() if (name := _own_name(key))})


def _with_services(values: dict[str, object]) -> dict[str, object]:
    """The settings as they are written now: before there were several services, one was a setting by itself (docs/upgrading.md)."""
    service = values.get(ONLY_SERVICE)
    if "services" in values or not isinstance(service, Mapping):
        return values
    others = {key: value for key, value in values.items() if key != ONLY_SERVICE}
    repository, rules = values.get("repository"), values.get("rules")
    if isinstance(repository, Mapping) and "path" in repository:
        service = {**service, "path": repository["path"]}
        others["repository"] = {key: value for key, value in repository.items() if key != "path"}
    if isinstance(rules, Mapping) and isinstance(settings := rules.get("mayDiffer"), list):
        others["rules"] = {**rules, "mayDiffer": [_setting_now(setting) for setting in settings]}
    return {**others, "services": {ONLY_SERVICE: service}}


def _setting_now(setting: object) -> object:
    """The path of a setting, which was the only service's own, among those of all services."""
    if setting == "repository.path":
        return f"services.{ONLY_SERVICE}.path"
    return f"services.{setting}" if str(setting).startswith(f"{ONLY_SERVICE}.") else setting


def namespace_problems(config: Mapping[str, object]) -> Iterator[str]:
    """Say which keys are nearly a project's, and which of its keys are there in two spellings."""
    spellings: dict[str, list[str]] = {}
    for key in config:
        if name := _own_name(key):
            spellings.setdefault(name, []).append(key)
        namespace, _, name = key.rpartition(":")
        if _resembles(namespace):
            yield (
                f"${path([key])}: is not a key of {PROJECT} — the program reads no other namespace, and it would have no "
                f"effect; did you mean {PROJECT}:{name}?"
            )
    for name, keys in spellings.items():
        if len(keys) > 1:
            yield f"${path([name])}: is there as {' and as '.join(keys)} — only one of them would count; keep one"


def top_problems(document: object) -> Iterator[str]:
    """Look at the keys that are Pulumi's own; the project's belong below one of those."""
    if document is None:
        return
    if not isinstance(document, Mapping):
        yield (
            f"$: the file is {shown(document)}, not an object of keys and values — Pulumi would find no configuration in it; "
            "write the settings below config:"
        )
        return
    known = fields_of(RegionConfig)
    for key, value in document.items():
        if key not in TOP_KEYS:
            lost = key.removeprefix(f"{PROJECT}:") in known
            hint = "write it below config:, further to the right" if lost else nearest_of(key, TOP_KEYS, "keys there")
            yield f"${path([key])}: is no key of a stack file's top — Pulumi would pass over it and what is below; {hint}"
        elif key == "config" and value is not None and not isinstance(value, Mapping):
            yield (
                f"$: config is {shown(value)}, not an object of keys and values — Pulumi would find no configuration in it; "
                f"write keys such as {PROJECT}:{next(iter(known))} below it"
            )


def duplicate_problem(steps: Sequence[int | str], lines: Sequence[int]) -> str:
    """Say what is wrong with a key that is there more than once; `steps` lead to it from the top of the file."""
    first, *rest = steps
    below_config = [str(step).removeprefix(f"{PROJECT}:") for step in rest[:1]] + rest[1:]
    return (
        f"${path(below_config if first == 'config' and rest else steps)}: is there {len(lines)} times, in the lines "
        f"{', '.join(map(str, lines))} — Pulumi refuses such a file; keep one of them"
    )


def passed_on(value: object) -> object:
    """Do to a value of the file what Pulumi does to it on its way to the program: what is no object arrives as text."""
    if value is None or isinstance(value, Mapping | list):
        return value
    return decoded(value if isinstance(value, str) else json.dumps(value))


def decoded(value: object) -> object:
    """Undo what Pulumi does to an object on its way to the program: it arrives as JSON text."""
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _own_name(key: str) -> str | None:
    namespace, separator, name = key.rpartition(":")
    if not separator or namespace.removesuffix(":config") == PROJECT or _resembles(namespace):
        return name
    return None


def _resembles(namespace: str) -> bool:
    return namespace != PROJECT and bool(get_close_matches(namespace.lower(), [PROJECT], cutoff=_ALIKE))
