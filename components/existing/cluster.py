"""Find out, before anything is touched, whether a stack's context is there, and leads to the cluster that the stack is on.

The provider finds a missing context late, once for each resource, and never notices that a context leads to another cluster.
"""

import json
import os
import shlex
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pulumi
import urllib3
import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from pulumi.runtime import invoke_async

from stackfile.model import ClusterConfig

_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_MEND = "correct cluster.context or cluster.kubeconfig in the stack file, or the kubeconfig"
_SECONDS = (5.0, 15.0)
"""To connect, and to wait for the answer's next part."""


class ClusterError(ValueError):
    """The cluster that a stack names cannot be asked, or is not the one that the stack is on."""


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


def named(path: str, name: str) -> str:
    """The path of the objects of this name among those at a path: a list, which tells "there is none" from "may not be read"."""
    return f"{path}?fieldSelector=metadata.name%3D{name}"


class Connection:
    """The one connection over which the program asks the API server that a stack's context leads to."""

    def __init__(self, cluster: ClusterConfig) -> None:
        self._cluster = cluster
        self._settings = client.Configuration()
        self._settings.retries = 0
        self._api: Any = None

    @property
    def place(self) -> str:
        """The context and, once it has been asked, the API server's address, as a message begins."""
        return f'cluster.context "{self._cluster.context}": {self._settings.host}'

    def flags(self, context: str) -> str:
        """What makes a command line ask the same cluster; `context` is the name that the command has for that flag."""
        kubeconfig = ["--kubeconfig", self._cluster.kubeconfig] if self._cluster.kubeconfig else []
        return shlex.join([*kubeconfig, f"--{context}", self._cluster.context])

    def get(self, path: str, accept: str = "application/json") -> Any:
        """The JSON at a path; None where the user has no right to it.

        Raises:
            ClusterError: If the cluster does not answer, does not know the user, or answers with another error.
        """
        # an empty file counts as no file, as for kubectl
        files = [str(file) for file in kubeconfig_files(self._cluster) if file.exists() and file.stat().st_size]
        try:
            self._api = self._api or config.new_client_from_config(  # type: ignore[no-untyped-call]
                os.pathsep.join(files), self._cluster.context, client_configuration=self._settings
            )
            # not CoreV1Api, whose models take longer to import than all the rest of a preview's program
            request = self._api.param_serialize(
                "GET", path, header_params={"Accept": accept}, auth_settings=["BearerToken"]
            )
            answer = self._api.call_api(*request, _request_timeout=_SECONDS)
            body = bytes(answer.read())
            found = json.loads(body) if answer.status == HTTPStatus.OK else None
        except (ConfigException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ClusterError(
                f"{self.place} does not answer ({_reason(error)}), so a preview would show what nobody has compared "
                "with the cluster. Make the cluster reachable, or correct cluster.context or cluster.kubeconfig in the stack file."
            ) from error
        # a login that failed is sent as nobody's, which a cluster may refuse as it refuses a user without the right
        if answer.status != HTTPStatus.OK and (answer.status != HTTPStatus.FORBIDDEN or b"system:anonymous" in body):
            raise ClusterError(
                f"{self.place} answers {answer.status} {answer.reason}, so nothing can be compared with the cluster. "
                f"See what it says to: kubectl {self.flags('context')} get --raw {shlex.quote(path)}"
            )
        return found


async def previous_outputs() -> Mapping[str, Any]:
    """What the stack exported when it last came up; nothing of a stack that never did, or was destroyed since.

    Asked for by what a StackReference asks itself: that would be a resource of the stack, of which a refresh after each
    update with other outputs says that it drifted.
    """
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    found: Mapping[str, Any] = await invoke_async("pulumi:pulumi:readStackOutputs", {"name": stack})
    return found["outputs"] or {}


def require_same_cluster(connection: Connection, remembered: str | None) -> str:
    """The cluster's identity: the UID of its namespace kube-system, which is as old as the cluster.

    `remembered` is the one that the stack was on when it last came up. A stack that remembers none may be on any.

    Raises:
        ClusterError: If it is another cluster, or the user may not know; in a preview too.
    """
    namespace = connection.get("/api/v1/namespaces/kube-system")
    if namespace is None:
        raise ClusterError(
            f"{connection.place} does not let the user get the namespace kube-system, whose UID tells which cluster this is. "
            "Without it the stack could change another region's cluster. Grant the user what the ClusterRole view grants: "
            "kubectl create clusterrolebinding NAME --clusterrole=view --user=USER"
        )
    uid = str(namespace["metadata"]["uid"])
    if remembered not in (None, uid):
        raise ClusterError(
            f"{connection.place} is not the cluster that this stack is on: the UID of its namespace kube-system is {uid}, and the "
            f"stack remembers {remembered}. The stack's state describes that cluster, and an update would change this one. "
            f"To stay on that cluster, {_MEND}. To move the region here, destroy the stack there first, or begin a new "
            'stack (docs/uninstalling.md, "A region on another cluster").'
        )
    return uid


def _reason(error: Exception) -> str:
    """The innermost cause in one line: the client wraps it in its own retries."""
    inner = getattr(error, "reason", None)
    lines = str(inner or error).strip().splitlines()
    return lines[0].rpartition(": ")[2] if lines else type(error).__name__
