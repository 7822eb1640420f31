"""Istio as somebody else installed it, held against what the split and mutual TLS rest on."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from components.existing.look import Look, Object, containers, selects
from components.istio import NAMESPACE
from components.names import pod_labels
from rules.facts.region import Region, istio_minor, leaves
from rules.facts.workloads import Workloads
from rules.finding import Severity
from rules.judgement import judge_istio
from stackfile.model import RegionConfig, ServiceConfig

_KINDS = {
    "networking.istio.io/v1": ["DestinationRule", "VirtualService"],
    "security.istio.io/v1": ["PeerAuthentication"],
}
_GATEWAY = {"networking.istio.io/v1": ["DestinationRule", "VirtualService", "Gateway"]}
_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_VERSION = re.compile(r".*:v?([0-9]+\.[0-9]+\.[^-@]+)[^@]*(@.*)?")
_CLUSTER = "global.multiCluster.clusterName"
_LOOKED_AT = re.compile(r"global\.tag|revision|pilot\.env\..*")
"""Values of what is looked at itself: the image that runs, the webhook that injects, and istiod's environment."""
_NAMES = ("meshConfig.trustDomain", "global.meshID", "global.network", _CLUSTER)
_DEFAULT_TRUST_DOMAIN = "cluster.local"


def look_at_istio(look: Look, config: RegionConfig) -> None:
    """Note what speaks against the Istio that is there: its kinds, its injector, istiod, and its settings.

    Raises:
        ClusterError: If the cluster cannot be asked.
    """
    look.kinds("Istio", _KINDS | (_GATEWAY if config.gateway else {}))
    revision = _revision(look, next(iter(config.services.values())))
    name = f"istiod{revision}"
    istiod = look.named(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", name, f"Deployment {NAMESPACE}/{name}")
    if istiod is not None:
        _require_ready(look, config, name, istiod)
    found = dict(_settings(look, revision, istiod or {}))
    if (called := found.pop(_CLUSTER, ("", None))[1]) not in (None, "", config.region):
        look.wrong(
            f"ConfigMap {NAMESPACE}/istio-sidecar-injector{revision}: values.{_CLUSTER}",
            f"this cluster is {called} in the mesh, and {config.region} in the stack file",
            "telemetry of this region is filed under the other name",
            "read it under that name, or set region to it",
            warning=True,
        )
    file = config.model_dump(by_alias=True)
    file["istio"]["values"] = {key: value for key, (_, value) in found.items()}
    region = Region.of(file, next(iter(config.services)), Workloads())
    for finding in judge_istio(region, {key: place for key, (place, _) in found.items()}):
        (look.refused if finding.severity is Severity.REFUSED else look.warned).append(str(finding))


def _revision(look: Look, service: ServiceConfig) -> str:
    """What Istio's names end with for the revision that injects sidecars into the services' pods: "" or "-" and its name."""
    configurations = look.listed(_WEBHOOKS, "MutatingWebhookConfigurations")
    if configurations is None:
        return ""
    namespace = {"istio-injection": "enabled", "kubernetes.io/metadata.name": service.namespace}
    pod = pod_labels(service.name, next(iter(service.versions)))
    for configuration in configurations:
        for webhook in configuration.get("webhooks") or ():
            if (
                webhook["name"].endswith("sidecar-injector.istio.io")
                and selects(webhook.get("namespaceSelector"), namespace)
                and selects(webhook.get("objectSelector"), pod)
            ):
                where = f"MutatingWebhookConfiguration {configuration['metadata']['name']}"
                if webhook.get("failurePolicy") == "Ignore":
                    look.wrong(
                        where,
                        "its failurePolicy is Ignore",
                        "while istiod is away, pods start without a sidecar and get requests past the split",
                        "set it to Fail, Istio's own",
                        warning=True,
                    )
                injector = (webhook["clientConfig"].get("service") or {}).get("name", "")
                return str(injector.removeprefix("istiod")) if injector.startswith("istiod") else ""
    look.wrong(
        "MutatingWebhookConfigurations",
        "none puts sidecars into the pods of a namespace with the label istio-injection=enabled",
        "requests would go past the proxies: they are neither split nor encrypted",
        "install Istio's default revision, or make one the default: istioctl tag set default --revision NAME",
    )
    return ""


def _require_ready(look: Look, config: RegionConfig, name: str, istiod: Object) -> None:
    where = f"Deployment {NAMESPACE}/{name}"
    if not (istiod.get("status") or {}).get("readyReplicas"):
        look.wrong(
            where,
            "has no ready pod" if istiod else "is not there",
            "no change of the split would reach the proxies, and no pod would start",
            "bring Istio up, or leave istio.install out",
        )
    wanted = istio_minor({"istio.version": config.istio.version})
    images = [each["image"] for each in containers(istiod) if each["name"] == "discovery"] if istiod else []
    for image in images:
        tag = _VERSION.fullmatch(image)
        if tag is None:
            look.wrong(
                where,
                f"the tag of {image} tells no version",
                f"the rules judge by istio.version, {config.istio.version}",
                "see that it is that version",
                warning=True,
            )
        elif istio_minor({"istio.version": tag[1]}) != wanted:
            look.wrong(
                where,
                f"it is version {tag[1]}, and istio.version is {config.istio.version}",
                "the rules judge by that version, and the gateway's proxy would be of it",
                f"set istio.version: {tag[1]}",
            )


def _settings(look: Look, revision: str, istiod: Object) -> Iterator[tuple[str, tuple[str, Any]]]:
    """What is set, by the key of the Helm value that would set it: where that was found, and the value."""
    for image in containers(istiod) if istiod else ():
        for each in image.get("env") or ():
            if "value" in each:
                place = f"Deployment {NAMESPACE}/istiod{revision}: env {each['name']}"
                yield f"env.{each['name']}", (place, each["value"])
    for name, key, above in (("istio", "mesh", "meshConfig."), ("istio-sidecar-injector", "values", "")):
        where = f"ConfigMap {NAMESPACE}/{name}{revision}"
        found = look.named(f"/api/v1/namespaces/{NAMESPACE}/configmaps", f"{name}{revision}", where)
        if found is None:
            continue
        said = _parsed(look, where, key, found)
        # what nobody sets is Istio's default, and only the trust domain's is a name
        if key == "mesh" and said is not None:
            said = {"trustDomain": _DEFAULT_TRUST_DOMAIN, **said}
        for path, value in leaves(said or {}, ""):
            helm = f"{above}{path}"
            if not _LOOKED_AT.fullmatch(helm) and not (helm in _NAMES and value in ("", None)):
                yield helm, (f"{where}: {key}.{path}", value)


def _parsed(look: Look, where: str, key: str, found: Object) -> Mapping[str, Any] | None:
    try:
        said = yaml.load((found.get("data") or {})[key], Loader=yaml.CSafeLoader) or {}
    except (KeyError, yaml.YAMLError):
        said = None
    if isinstance(said, dict):
        return said
    look.wrong(
        where,
        f"has no {key} that can be read",
        "it says who is who in the mesh and which pods get sidecars",
        "restore it from Istio's chart istiod",
    )
    return None
