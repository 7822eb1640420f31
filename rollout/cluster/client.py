"""A region's Kubernetes API, as its kubeconfig's context reaches it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from rollout.access import RegionAccess
from rollout.problem import RolloutError, TransientError, first_line

MOST_AT_ONCE = 8
"""Requests to one API server at the same time. An exec takes 60 ms by itself, and all of them are that server's work."""

# Pods in an answer: a thousand are 18 MB, and ten times as much once they are read.
_PAGE = 250

# For `_request_timeout`: seconds to connect, and to wait for an answer's next part.
REQUEST_TIMEOUT = (5.0, 15.0)

_WHY = "only the region's own cluster knows what runs there, and can send requests from inside its mesh"

# The Kubernetes client enters a credential's temporary file in a table before it has written it, so that a thread which
# loads the same credential at that moment reads an empty file. Two contexts often share a certificate.
_LOADING = threading.Lock()
# A credential may be asked of a program that hangs: then others wait for it once, not with each of their requests.
_LOADED_WITHIN_SECONDS = 5.0
_HANGS = threading.Event()


def api_client(region: RegionAccess) -> client.ApiClient:
    """A client for the region's API server; asks it nothing yet.

    Raises:
        RolloutError: the kubeconfig cannot be used, or has no such context.
    """
    where = str(region.kubeconfig) if region.kubeconfig else "the default kubeconfig ($KUBECONFIG, ~/.kube/config)"
    kubeconfig = str(region.kubeconfig) if region.kubeconfig else None
    fix = (
        f"correct cluster.context (or cluster.kubeconfig) in the stack file of {region.stack}, "
        "or bring the lab up (make up)"
    )
    try:
        with _loading():
            listed, _current = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]
            contexts = [str(context["name"]) for context in listed]
            if region.context not in contexts:
                raise RolloutError.of(
                    f"{region.name}: {where} has no context {region.context}; it has: {', '.join(contexts) or 'none'}",
                    _WHY,
                    fix,
                )
            settings = client.Configuration()
            # the client's own three retries would wait for four timeouts in a row
            settings.retries = 0
            api: client.ApiClient = config.new_client_from_config(  # type: ignore[no-untyped-call]
                kubeconfig, region.context, client_configuration=settings
            )
    except (ConfigException, yaml.YAMLError, OSError, ValueError) as error:
        raise TransientError.of(
            f"{region.name}: {where} cannot be used: {first_line(str(error))}", _WHY, fix
        ) from error
    return api


@contextmanager
def _loading() -> Iterator[None]:
    """One thread at a time; but no region waits long for the credential of another one."""
    is_alone = _LOADING.acquire(timeout=0 if _HANGS.is_set() else _LOADED_WITHIN_SECONDS)
    if not is_alone and _LOADING.locked():
        _HANGS.set()
    try:
        yield
    finally:
        if is_alone:
            _HANGS.clear()
            _LOADING.release()


@contextmanager
def asking(region: RegionAccess, request: str, by_hand: str) -> Iterator[None]:
    """Tells what goes wrong with a request to the region's API server.

    Args:
        region: The region that is asked.
        request: What is asked of it, such as "list pods in echo-probe".
        by_hand: The arguments with which kubectl asks the same.

    Raises:
        TransientError: the API server refuses, as it also does while it starts, or does not answer.
    """
    where = f"{region.name}: the cluster of context {region.context}"
    try:
        yield
    except client.ApiException as error:
        raise TransientError.of(
            f"{where} refused to {request}: {error.status} {first_line(error.reason)}",
            _WHY,
            f"see that the context's user may do it: kubectl --context {region.context} {by_hand}",
        ) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TransientError.of(
            f"{where} does not answer: {first_line(str(error))}",
            _WHY,
            f"see that it is up: kubectl --context {region.context} version (in the lab: python -m lab status)",
        ) from error


def list_pods(region: RegionAccess, api: client.ApiClient, namespace: str, selector: str) -> list[Mapping[str, Any]]:
    """The pods of a namespace with these labels, as plain values: the client takes 0.2 s to load its classes for them.

    Raises:
        RolloutError: the cluster does not answer or refuses.
    """
    answer: Any = None
    with asking(region, f"list pods in {namespace}", f"-n {namespace} get pods"):
        answer = client.CoreV1Api(api).list_namespaced_pod(
            namespace, label_selector=selector, _preload_content=False, _request_timeout=REQUEST_TIMEOUT
        )
    return list(json.loads(answer.data)["items"])


def list_all_pods(region: RegionAccess, api: client.ApiClient) -> list[Mapping[str, Any]]:
    """The pods of all namespaces that have not ended, as plain values, without what is long and tells nothing here.

    Raises:
        RolloutError: the cluster does not answer or refuses.
    """
    found: list[Mapping[str, Any]] = []
    options: dict[str, Any] = {"limit": _PAGE}
    while True:
        answer: Any = None
        with asking(region, "list the pods of all namespaces", "get pods --all-namespaces"):
            answer = client.CoreV1Api(api).list_pod_for_all_namespaces(
                field_selector="status.phase!=Succeeded,status.phase!=Failed",
                _preload_content=False,
                _request_timeout=REQUEST_TIMEOUT,
                **options,
            )
        page = json.loads(answer.data)
        for pod in page["items"]:
            pod["metadata"].pop("managedFields", None)
            pod["spec"].pop("volumes", None)
            for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
                container.pop("env", None)
                container.pop("volumeMounts", None)
            found.append(pod)
        options["_continue"] = page.get("metadata", {}).get("continue")
        if not options["_continue"]:
            return found
