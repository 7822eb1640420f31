"""Argo CD as somebody else installed it, held against what delivery rests on."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import yaml

from components.existing.look import Look, Object, containers, is_ours
from components.names import ARGOCD_NAMESPACE
from components.service import workload_objects
from rules.facts.shapes import KINDS
from stackfile.model import RegionConfig

_API = "argoproj.io/v1alpha1"
_KINDS = {_API: ["Application", "AppProject"]}
_CLUSTER = "https://kubernetes.default.svc"
_WORKLOADS = (("statefulsets", "StatefulSet"), ("deployments", "Deployment"))
_NEEDED = ("argocd-application-controller", "argocd-repo-server")
_NAME = "app.kubernetes.io/name"
_VERSION = re.compile(r".*:v?([0-9]+)\.([0-9]+)\.[^/]*")
_OLDEST = (2, 10)
"""The first that knows the compare option ServerSideDiff.

Source: https://argo-cd.readthedocs.io/en/release-2.14/user-guide/diff-strategies/
"""
_TRACKS_BY_ANNOTATION = (3, 0)
"""The first that does so where nothing is set.

Source: https://argo-cd.readthedocs.io/en/stable/operator-manual/upgrading/2.14-3.0/
"""
_SETTINGS = f"ConfigMap {ARGOCD_NAMESPACE}/argocd-cm"
_NOTHING = "nothing of this region would be delivered"
_SWITCHES = {
    "cluster.inClusterEnabled": ("false", _NOTHING, False),
    "kustomize.enable": ("false", _NOTHING, False),
    "application.sync.impersonation.enabled": (
        "true",
        f"the region's AppProject names no ServiceAccount: {_NOTHING}",
        False,
    ),
    "application.resourceTrackingMethod": (
        "label",
        "objects that carry the label app.kubernetes.io/instance with a service's name, as Helm's do, are taken for its own and pruned",
        False,
    ),
    "timeout.reconciliation": ("0[a-z]*", "it looks for commits only when it is told to", True),
}
"""What a setting must not be, what happens where it is, and whether that is only a doubt."""
_PATHS = ("jsonPointers", "jqPathExpressions")


def look_at_argocd(look: Look, config: RegionConfig) -> None:
    """Note what speaks against the Argo CD that is there: its kinds, its programs, its settings, and what it delivers already.

    Raises:
        ClusterError: If the cluster cannot be asked.
    """
    known = look.kinds("Argo CD", _KINDS)
    version = _version(look)
    settings = look.named(f"/api/v1/namespaces/{ARGOCD_NAMESPACE}/configmaps", "argocd-cm", _SETTINGS)
    if settings is not None:
        _judge(look, settings.get("data") or {}, version)
    if known:
        _require_alone(look, config)


def _version(look: Look) -> tuple[int, int] | None:
    """Require what reconciles and what reads Git, and tell their version; None where it is not known."""
    found: list[tuple[str, Object]] = []
    for resource, kind in _WORKLOADS:
        path = f"/apis/apps/v1/namespaces/{ARGOCD_NAMESPACE}/{resource}"
        listed = look.listed(path, f"{kind}s of {ARGOCD_NAMESPACE}")
        if listed is None:
            return None
        found += [(f"{kind} {ARGOCD_NAMESPACE}/{each['metadata']['name']}", each) for each in listed]
    version = None
    for name in _NEEDED:
        of_it = [each for each in found if (each[1]["metadata"].get("labels") or {}).get(_NAME) == name]
        if not any((each.get("status") or {}).get("readyReplicas") for _, each in of_it):
            look.wrong(
                of_it[0][0] if of_it else f"{name} in {ARGOCD_NAMESPACE}",
                "has no ready pod" if of_it else "is not there",
                _NOTHING,
                "bring Argo CD up, or leave argocd.install out",
            )
        for where, each in of_it:
            image = next(containers(each))["image"].partition("@")[0]
            tag = _VERSION.fullmatch(image)
            version = (int(tag[1]), int(tag[2])) if tag else None
            if tag is None or version is None:
                look.wrong(
                    where,
                    f"the tag of {image} tells no version",
                    "a commit of which one object is refused is applied in part by one before 2.10",
                    "see that it is 2.10 or later",
                    warning=True,
                )
            elif version < _OLDEST:
                look.wrong(
                    where,
                    f"it is version {tag[1]}.{tag[2]}",
                    "it does not know ServerSideDiff=true, so a commit of which one object is refused would be applied in part",
                    "upgrade Argo CD to 2.10 or later",
                )
    return version


def _judge(look: Look, settings: Mapping[str, str], version: tuple[int, int] | None) -> None:
    said = dict(settings)
    if version is not None and version < _TRACKS_BY_ANNOTATION:
        said.setdefault("application.resourceTrackingMethod", "label")
    if said.get("application.sync.impersonation.enforced") == "false":
        said.pop("application.sync.impersonation.enabled", None)
    for key, (wrong, why, doubt) in _SWITCHES.items():
        if re.fullmatch(wrong, said.get(key, "")):
            look.wrong(f"{_SETTINGS}: {key}", f"is {said[key]}", why, "set it otherwise", warning=doubt)
    for kind, (group, _) in KINDS.items():
        for key, leaves_out in (("resource.exclusions", True), ("resource.inclusions", False)):
            if key in said and _matches(_parsed(said[key]), group, kind) is leaves_out:
                why = "it would neither be delivered nor watched, and a commit would be applied without it"
                look.wrong(f"{_SETTINGS}: {key}", f"leaves out {kind}", why, f"let Argo CD have {kind}")
    for key, group_kind, ignored in _ignored(said):
        of_ours = [kind for kind, (group, _) in KINDS.items() if fnmatchcase(f"{group}/{kind}".strip("/"), group_kind)]
        if of_ours or group_kind == "*/*":
            judged = [each for path in _PATHS for each in ignored.get(path) or ()]
            managed = ignored.get("managedFieldsManagers") or ()
            if judged or managed:
                look.wrong(
                    f"{_SETTINGS}: {key}",
                    f"ignores differences in {', '.join(judged) or 'what ' + ', '.join(managed) + ' sets'}",
                    "a commit that changes nothing else is taken for delivered, and never applied",
                    f"do not ignore them for {', '.join(of_ours) or 'all kinds'}",
                    warning=not judged,
                )


def _parsed(text: str) -> Any:
    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return None  # Argo CD too goes on without it


def _matches(filters: Any, group: str, kind: str) -> bool:
    """Tell if one of Argo CD's resource filters matches a kind in its own cluster; a list that a filter leaves out matches all."""

    def one_of(patterns: Sequence[str] | None, value: str) -> bool:
        return not patterns or any(fnmatchcase(value, each) for each in patterns)

    return any(
        one_of(each.get("apiGroups"), group)
        and one_of(each.get("kinds"), kind)
        and one_of(each.get("clusters"), _CLUSTER)
        for each in filters or ()
    )


def _ignored(settings: Mapping[str, str]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Which differences are ignored in every Application: the setting, a pattern of group and kind, and what it says."""
    prefix = "resource.customizations"
    for key, text in settings.items():
        if key.startswith(f"{prefix}.ignoreDifferences."):
            kind = key.removeprefix(f"{prefix}.ignoreDifferences.").replace("_", "/")
            yield key, "*/*" if kind == "all" else kind, _parsed(text) or {}
    for kind, said in (_parsed(settings.get(prefix, "")) or {}).items():
        ignored = said.get("ignoreDifferences")
        yield f"{prefix}.{kind}", kind, (_parsed(ignored) if isinstance(ignored, str) else ignored) or {}


def _require_alone(look: Look, config: RegionConfig) -> None:
    """Note who has the names of this region's Application and AppProject already, or delivers its objects."""
    api = f"/apis/{_API}/namespaces/{ARGOCD_NAMESPACE}"
    for resource, kind, ours in (
        ("applications", "Application", {*config.services}),
        ("appprojects", "AppProject", {config.argocd.project}),
    ):
        for each in look.listed(f"{api}/{resource}", f"{kind}s of {ARGOCD_NAMESPACE}") or ():
            name, where = each["metadata"]["name"], f"{kind} {ARGOCD_NAMESPACE}/{each['metadata']['name']}"
            if is_ours(each):
                continue
            if name in ours:
                rename = (
                    "give the service another name" if kind == "Application" else "set argocd.project to another name"
                )
                look.wrong(
                    where,
                    "is there, and not of this program",
                    "an update would fail at it, or take it over with all that it delivers",
                    f"{rename}, or delete it without what it delivers (docs/handover.md)",
                )
            for held in sorted(_delivered(each) & _objects(config)):
                look.wrong(
                    where,
                    f"delivers {held[0]} {held[1]}/{held[2]} already",
                    "two who apply the same object undo each other",
                    "delete this Application without what it delivers (docs/handover.md)",
                )


def _delivered(application: Object) -> set[tuple[str, str, str]]:
    resources = (application.get("status") or {}).get("resources") or ()
    return {(each["kind"], each.get("namespace", ""), each["name"]) for each in resources}


def _objects(config: RegionConfig) -> set[tuple[str, str, str]]:
    return {
        (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"])
        for service in config.services.values()
        for each in workload_objects(config, service)
    }
