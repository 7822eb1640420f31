"""A cluster on which others installed Istio and Argo CD, as its API server answers."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml

SYSTEM = "/api/v1/namespaces/istio-system/configmaps?fieldSelector=metadata.name%3D{}"
ISTIOD = "/apis/apps/v1/namespaces/istio-system/deployments?fieldSelector=metadata.name%3Distiod"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
NETWORKING = "/apis/networking.istio.io/v1"
SETTINGS = "/api/v1/namespaces/argocd/configmaps?fieldSelector=metadata.name%3Dargocd-cm"
APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
PROJECTS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects"
STATEFUL_SETS = "/apis/apps/v1/namespaces/argocd/statefulsets"
DEPLOYMENTS = "/apis/apps/v1/namespaces/argocd/deployments"
_GROUPS = {
    "networking.istio.io/v1": ("DestinationRule", "VirtualService", "Gateway"),
    "security.istio.io/v1": ("PeerAuthentication",),
    "argoproj.io/v1alpha1": ("Application", "AppProject"),
}
MESH: dict[str, Any] = {"trustDomain": "corp.local", "defaultConfig": {"meshId": "training-mesh"}, "rootNamespace": "x"}
VALUES: dict[str, Any] = {
    # as the chart's 1.31 writes them where nobody sets anything but the names
    "gateways": {"seccompProfile": {}, "securityContext": {}},
    "global": {
        "istioNamespace": "istio-system",
        "meshID": "training-mesh",
        "multiCluster": {"clusterName": "", "enabled": False},
        "network": "network-a",
        "omitSidecarInjectorConfigMap": False,
        "operatorManageWebhooks": False,
        "proxy": {
            "autoInject": "enabled",
            "clusterDomain": "cluster.local",
            "excludeInboundPorts": "",
            "excludeIPRanges": "",
            "excludeOutboundPorts": "",
            "includeIPRanges": "*",
            "includeInboundPorts": "*",
        },
        "resourceScope": "all",
        "tag": "1.31.1",
    },
    "pilot": {"cni": {"enabled": False}, "env": {}},
    "revision": "",
    "sidecarInjectorWebhook": {
        "defaultTemplates": [],
        "neverInjectSelector": [],
        "rewriteAppHTTPProbe": True,
        "templates": {},
    },
}


def workload(name: str, image: str, container: str, ready: int = 1, **env: str) -> dict[str, Any]:
    """A Deployment or a StatefulSet with one container."""
    variables = [{"name": key, "value": value} for key, value in env.items()]
    pod = {"containers": [{"name": container, "image": image, "env": [*variables, {"name": "A", "valueFrom": {}}]}]}
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": {"template": {"spec": pod}},
        "status": {"readyReplicas": ready},
    }


def webhook(expression: dict[str, Any], service: str = "istiod", policy: str = "Fail") -> dict[str, Any]:
    """A configuration that injects sidecars into pods of some namespaces."""
    hook = {
        "name": "namespace.sidecar-injector.istio.io",
        "clientConfig": {"service": {"name": service, "namespace": "istio-system"}},
        "failurePolicy": policy,
        "namespaceSelector": {"matchExpressions": [expression]},
        "objectSelector": {
            "matchExpressions": [{"key": "sidecar.istio.io/inject", "operator": "NotIn", "values": ["false"]}]
        },
    }
    return {"metadata": {"name": "istio-sidecar-injector"}, "webhooks": [hook]}


ENABLED = {"key": "istio-injection", "operator": "In", "values": ["enabled"]}


def items(*objects: object) -> dict[str, object]:
    return {"items": [*objects] or None}


def config_map(**data: str) -> dict[str, object]:
    return items({"data": data})


def mesh(**changed: object) -> dict[str, object]:
    return config_map(mesh=yaml.safe_dump({**MESH, **changed}))


def injector(path: str = "", value: object = None) -> dict[str, object]:
    """The injector's settings, with one of them changed."""
    values = copy.deepcopy(VALUES)
    *parents, last = path.split(".")
    part = values
    for key in parents:
        part = part[key]
    if last:
        part[last] = value
    return config_map(config="policy: enabled", values=json.dumps(values))


def istio() -> dict[str, object]:
    """What answers where Istio is there and as it should be."""
    return {
        **_discovery(),
        WEBHOOKS: items(webhook({"key": "istio.io/rev", "operator": "In", "values": ["default"]}), webhook(ENABLED)),
        ISTIOD: items(workload("istiod", "registry.corp.local/pilot:1.31.4-distroless", "discovery")),
        SYSTEM.format("istio"): mesh(),
        SYSTEM.format("istio-sidecar-injector"): injector(),
    }


def argocd(**settings: str) -> dict[str, object]:
    """The same of Argo CD, with these settings."""
    return {
        **_discovery(),
        STATEFUL_SETS: items(workload("argocd-application-controller", "quay.io/argoproj/argocd:v3.5.7", "controller")),
        DEPLOYMENTS: items(workload("argocd-repo-server", "quay.io/argoproj/argocd:v3.5.7", "repo-server")),
        SETTINGS: config_map(**settings) if settings else items({"metadata": {}}),
        APPLICATIONS: items(),
        PROJECTS: items(),
    }


def application(name: str, *resources: tuple[str, str, str], labels: dict[str, str] | None = None) -> dict[str, object]:
    held = [{"kind": kind, "namespace": namespace, "name": each} for kind, namespace, each in resources]
    return {"metadata": {"name": name, "labels": labels}, "status": {"resources": held}}


def _discovery() -> dict[str, object]:
    groups = [{"name": each.split("/")[0], "versions": [{"groupVersion": each}]} for each in _GROUPS]
    kinds = {f"/apis/{each}": {"resources": [{"kind": kind} for kind in kinds]} for each, kinds in _GROUPS.items()}
    return {"/apis": {"groups": groups}, **kinds}
