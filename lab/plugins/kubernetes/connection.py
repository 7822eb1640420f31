"""The way to the cluster: which kubeconfig and context, what kinds it serves, and plain REST over the official client."""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import urllib3
import yaml
from kubernetes import config
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration

from lab.plugins.kubernetes.decisions import Object

CONNECT_SECONDS: Final = 10.0
"""How long an address may take to answer a connection before the cluster counts as unreachable."""
_READ_SECONDS: Final = 90.0  # admission webhooks may take 30 s each
_POOLED_CONNECTIONS: Final = 64
_FILES: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


class ProviderError(Exception):
    """What the person at the command line is told: what is wrong, why it matters, what to do."""


class UnreachableError(ProviderError):
    """The cluster cannot be used as configured: nothing was sent, or nobody answered."""


class KindMissingError(ProviderError):
    """The cluster does not serve this kind, or not yet."""


class RejectedError(ProviderError):
    """The API server's answer of no: an HTTP status, Kubernetes' own reason and message, and the kind that it is about."""

    def __init__(self, status: int, reason: str, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.status, self.reason, self.kind = status, reason, kind


class Target(NamedTuple):
    """A kubeconfig resolved to one context; `document` is the kubeconfig with that context current."""

    document: Object
    context: str
    cluster: Object
    namespace: str


def resolve(settings: Mapping[str, Any]) -> Target:
    """The cluster that the provider's settings `kubeconfig` (path or content), `context`, `cluster` and `namespace` mean.

    Raises:
        UnreachableError: there is no such kubeconfig, context or cluster.
    """
    document, source = _kubeconfig(settings.get("kubeconfig") or os.environ.get("KUBECONFIG") or "~/.kube/config")
    name = settings.get("context") or document.get("current-context") or ""
    contexts = {entry["name"]: entry.get("context") or {} for entry in document["contexts"]}
    clusters = {entry["name"]: entry.get("cluster") or {} for entry in document["clusters"]}
    if name not in contexts:
        raise UnreachableError(
            f"{source}: there is no context {name!r} (there are: {', '.join(sorted(contexts)) or 'none'}), so nobody knows which "
            "cluster to change. Correct the context in the stack's configuration, or the kubeconfig."
        )
    context = {**contexts[name], "cluster": settings.get("cluster") or contexts[name].get("cluster")}
    if not clusters.get(context["cluster"], {}).get("server"):
        raise UnreachableError(
            f"{source}: cluster {context['cluster']!r} of context {name!r} is not there or has no server, so it cannot be reached. "
            "Correct the kubeconfig."
        )
    resolved = {**document, "current-context": name, "contexts": [{"name": name, "context": context}]}
    namespace = settings.get("namespace") or context.get("namespace") or "default"
    return Target(resolved, name, clusters[context["cluster"]], namespace)


def _kubeconfig(path_or_content: str) -> tuple[Object, str]:
    is_content = "\n" in path_or_content or path_or_content.lstrip().startswith("{")
    source = "the kubeconfig in the provider's settings" if is_content else f"kubeconfig {path_or_content}"
    merge: Any = config.kube_config.KubeConfigMerger
    try:
        merged = merge(io.StringIO(path_or_content) if is_content else path_or_content).config
        if merged is None:
            raise UnreachableError(
                f"{source}: no such file, so no cluster is known. Set $KUBECONFIG or the kubeconfig."
            )
        document = merged if is_content else merged.value
        parts = {part: list(map(_entry, document.get(part) or [])) for part in ("clusters", "contexts", "users")}
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError, config.ConfigException) as problem:
        raise UnreachableError(f"{source}: no kubeconfig ({problem}), so no cluster is known. Correct it.") from problem
    return {**document, **parts}, source


def _entry(node: Any) -> Object:
    """A kubeconfig entry as plain data; file names in it are relative to the file that it came from."""
    folder = pathlib.Path(node.path).absolute().parent if hasattr(node, "path") else pathlib.Path()
    entry: Object = getattr(node, "value", node)
    anchored = {
        part: {key: str(folder / text) if key in _FILES else text for key, text in fields.items()}
        for part, fields in entry.items()
        if isinstance(fields, dict)
    }
    return {**entry, **anchored}


class Cluster:
    """One cluster's API; safe to use from many threads.

    Raises:
        UnreachableError: the credentials cannot be used.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        settings = Configuration()
        settings.retries = False
        settings.connection_pool_maxsize = _POOLED_CONNECTIONS
        load: Any = config.load_kube_config_from_dict
        try:
            load(target.document, target.context, settings, persist_config=False)
        except config.ConfigException as problem:
            raise UnreachableError(
                f"context {target.context!r}: its credentials cannot be used ({problem}), so the cluster would not know who asks. "
                "Correct the user in the kubeconfig."
            ) from problem
        self._client = ApiClient(settings)
        self._kinds: dict[str, dict[str, Object]] = {}

    def url(self, obj: Object, *, named: bool = True) -> str:
        """Where an object lives; without its name, where its kind lives in its namespace.

        Raises:
            KindMissingError: the cluster does not serve its kind.
        """
        version, metadata = obj["apiVersion"], obj["metadata"]
        namespace = quote(metadata.get("namespace") or self.target.namespace)
        scope = f"/namespaces/{namespace}" if self.namespaced(obj) else ""
        plural = self._kinds[version][obj["kind"]]["name"]
        return f"{_root(version)}{scope}/{plural}" + (f"/{quote(metadata['name'])}" if named else "")

    def namespaced(self, obj: Object) -> bool:
        """Whether objects of this kind live in namespaces. A kind that the cluster did not serve before is asked for again.

        Raises:
            KindMissingError: it still does not serve it.
        """
        version, kind = obj["apiVersion"], obj["kind"]
        if kind not in self._kinds.get(version, {}):
            self._kinds[version] = self._discover(version)
        if kind not in self._kinds[version]:
            raise KindMissingError(
                f"the cluster of context {self.target.context!r} serves no {kind} in {version}, so there can be none. Install its "
                "CustomResourceDefinition first, or correct apiVersion and kind."
            )
        return bool(self._kinds[version][kind]["namespaced"])

    def _discover(self, version: str) -> dict[str, Object]:
        try:
            listed = self.request("GET", _root(version))["resources"]
        except RejectedError as no:
            if no.status == 404:
                return {}
            raise
        return {entry["kind"]: entry for entry in listed if "/" not in entry["name"]}

    def request(
        self, method: str, path: str, query: Object | None = None, body: Any = None, kind: str = "application/json"
    ) -> Object:
        """One request with a body of this content type, answered by JSON.

        Raises:
            RejectedError: the API server said no.
            UnreachableError: it did not answer.
        """
        headers, asked = {"Accept": "application/json", "Content-Type": kind}, list((query or {}).items())
        call = self._client.param_serialize(
            method, path, query_params=asked, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            response: Any = self._client.call_api(*call, _request_timeout=(CONNECT_SECONDS, _READ_SECONDS))
            text: bytes = response.read()
        except (urllib3.exceptions.HTTPError, OSError) as problem:
            cause = re.sub(r".* at 0x\w+>?:? ?", "", str(getattr(problem, "reason", None) or problem))
            raise UnreachableError(
                f"context {self.target.context!r}: the cluster at {self.target.cluster['server']} does not answer "
                f"({cause}), so nothing can be read or changed there. Start it, or correct its server in the kubeconfig."
            ) from problem
        try:
            answer: Object = json.loads(text)
        except ValueError:
            answer = {"message": text.decode(errors="replace").strip()}
        if response.status >= 400:
            about, message = (answer.get("details") or {}).get("kind", ""), self._refusal(response.status, answer)
            raise RejectedError(response.status, answer.get("reason", ""), message, about)
        return answer

    def _refusal(self, status: int, answer: Object) -> str:
        message = str(answer.get("message") or f"HTTP status {status}")
        who = f"context {self.target.context!r} at {self.target.cluster['server']}"
        if status == 401:
            return f"{who}: its credentials are not accepted ({message}), so nothing can be done there. Renew them in the kubeconfig."
        if status == 403:
            return f"{who}: its user may not do this ({message}), so it was not done. Grant the permission, or choose another context."
        return message


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"
