"""Find out, before anything is touched, whether the kubeconfig has the context that a stack names.

The provider would find out too, but late, once for each resource, and without saying which contexts there are.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import yaml

from stackfile.model import ClusterConfig

_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_MEND = "correct cluster.context or cluster.kubeconfig in the stack file, or the kubeconfig"


class ClusterError(ValueError):
    """The cluster that a stack names cannot be looked up."""


def require_context(cluster: ClusterConfig) -> None:
    """Return if the context is there; no connection is made.

    A file that is only missing from the list counts as empty, as for kubectl.

    Raises:
        ClusterError: If there is no kubeconfig, one cannot be read, or none has the context.
    """
    files = kubeconfig_files(cluster)
    found = [file for file in files if file.exists()]
    place = ", ".join(str(file) for file in found or files)
    wanted = f'cluster.context "{cluster.context}"'
    if not found:
        raise ClusterError(
            f"{wanted}: there is no kubeconfig {place} — nothing else says where the cluster is; {_MEND}"
        )
    contexts = [context for file in found for context in _contexts(file)]
    if cluster.context not in contexts:
        known = ", ".join(contexts) or "none at all"
        raise ClusterError(
            f"{wanted} is not in {place} — the program will not guess which cluster to change; {_MEND} (its contexts: {known})"
        )


def kubeconfig_files(cluster: ClusterConfig) -> list[Path]:
    """The files that the provider reads: `cluster.kubeconfig`, else the list in $KUBECONFIG, else ~/.kube/config.

    A relative path starts at the working directory, which is the project's. A file need not be there.
    """
    listed = [entry for entry in os.environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    names = [cluster.kubeconfig] if cluster.kubeconfig else listed or ["~/.kube/config"]
    return [Path(name).expanduser() for name in names]


def provider_kubeconfig(cluster: ClusterConfig) -> pulumi.Input[str]:
    """What the provider is given as its kubeconfig: a path, or "" for the usual files.

    A kubeconfig that names its certificates by relative paths is given as a text in which they are absolute, and kept secret: the
    provider would look for them beside the project, where kubectl looks beside the kubeconfig.
    """
    if not cluster.kubeconfig:
        # None would be filled in with $KUBECONFIG, which ends up in the state and may not be a list
        return ""
    file = Path(cluster.kubeconfig).expanduser()
    document = _of_context(_document(file), cluster.context)
    parts = [entry["cluster"] for entry in document["clusters"]] + [entry["user"] for entry in document["users"]]
    named = [(part, key) for part in parts for key in _FILES if part.get(key) and not Path(part[key]).is_absolute()]
    if not named:
        return cluster.kubeconfig
    for part, key in named:
        part[key] = str(file.parent.absolute() / part[key])
    return pulumi.Output.secret(yaml.dump(document))


def _of_context(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A kubeconfig with one context of another, its cluster and its user."""

    def entries(kind: str, wanted: str) -> list[Any]:
        return [entry for entry in document.get(kind) or () if entry.get("name") == wanted]

    contexts = entries("contexts", name)
    context: Mapping[str, Any] = next((entry["context"] for entry in contexts if entry.get("context")), {})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": contexts,
        "clusters": entries("clusters", context.get("cluster", "")),
        "users": entries("users", context.get("user", "")),
    }


def _contexts(file: Path) -> list[str]:
    try:
        return [str(context["name"]) for context in _document(file).get("contexts") or ()]
    except OSError as error:
        raise ClusterError(
            f"{file}: {error.strerror} — it says where the cluster is; make it readable, or {_MEND}"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, KeyError) as error:
        raise ClusterError(f"{file} is no kubeconfig — it holds no list of contexts; {_MEND}") from error


def _document(file: Path) -> dict[str, Any]:
    # libyaml's loader: a kubeconfig with many clusters is long, and every preview reads it
    document: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) or {}
    return document
