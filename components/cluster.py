"""Find out, before anything is touched, whether the kubeconfig has the context that a stack names.

The provider would find out too, but late, once for each resource, and without saying which contexts there are.
"""

import os
from pathlib import Path

import yaml

from components.config import ClusterConfig

_MEND = "correct cluster.context or cluster.kubeconfig in the stack file, or the kubeconfig"


class ClusterError(ValueError):
    """The cluster that a stack names cannot be looked up."""


def require_context(cluster: ClusterConfig) -> None:
    """Return if the context is there; no connection is made.

    The files are those that the provider reads: `cluster.kubeconfig` (a relative path starts at the working directory), else
    the list in $KUBECONFIG, else ~/.kube/config. A file that is only missing from the list counts as empty, as for kubectl.

    Raises:
        ClusterError: If there is no kubeconfig, one cannot be read, or none has the context.
    """
    listed = [entry for entry in os.environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    names = [cluster.kubeconfig] if cluster.kubeconfig else listed or ["~/.kube/config"]
    files = [Path(name).expanduser() for name in names]
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


def _contexts(file: Path) -> list[str]:
    try:
        # libyaml's loader: a kubeconfig with many clusters is long, and every preview reads it
        document = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        return [str(context["name"]) for context in (document or {}).get("contexts") or ()]
    except OSError as error:
        raise ClusterError(
            f"{file}: {error.strerror} — it says where the cluster is; make it readable, or {_MEND}"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, KeyError) as error:
        raise ClusterError(f"{file} is no kubeconfig — it holds no list of contexts; {_MEND}") from error
