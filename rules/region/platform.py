"""What Istio and Argo CD are installed from, and what Helm values make of istiod."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from rules.facts.region import Region
from rules.finding import Rule, Severity, Violation

VALUES = "istio.values."
_SETTINGS = {
    "meshConfig.trustDomain": "mesh.trustDomain",
    "global.meshID": "mesh.meshId",
    "global.network": "mesh.network",
    "global.multiCluster.clusterName": "region",
}
"""Values that a setting of the stack file gives already."""
_INJECTOR = "sidecarInjectorWebhook."
_NO_SIDECAR = "no pod gets a sidecar any more"
_NO_ISTIOD = "this cluster has no istiod"
_ORDINARY = "sidecars are ordinary containers, which may end before the last requests of their pods"
_UNSPLIT = "clients of other namespaces do not see the split, and their requests go to the pods of every version alike"
_PAST = "requests may go past the proxies: they are neither split nor encrypted"
_SWITCHES: tuple[tuple[str, ...], ...] = (
    ("", _NO_SIDECAR, "revision"),  # the namespaces ask for the default one
    ("enabled", _NO_SIDECAR, "global.proxy.autoInject"),
    ("false", _NO_SIDECAR, "global.omitSidecarInjectorConfigMap", "global.operatorManageWebhooks"),
    ("all", _NO_SIDECAR, "global.resourceScope"),
    ("false", _NO_ISTIOD, "istiodRemote.enabled"),
    ("(?!remote).*", _NO_ISTIOD, "profile", "global.profile"),
    ("true|auto", _ORDINARY, "env.ENABLE_NATIVE_SIDECARS"),
    (r"(?!1\.(1?[0-9]|2[0-6])$).*", _ORDINARY, "compatibilityVersion"),
    ("true", "the kubelet's probes, which have no certificate, find no pod ready", f"{_INJECTOR}rewriteAppHTTPProbe"),
    ("true", "clients send plain text, which the pods refuse: 503 for every request", "meshConfig.enableAutoMtls"),
    (r"\['\*'\]", _UNSPLIT, "meshConfig.defaultServiceExportTo", "meshConfig.defaultVirtualServiceExportTo"),
    (r"\['\*'\]", _UNSPLIT, "meshConfig.defaultDestinationRuleExportTo"),
    (r"cluster\.local", "no host of a route is the name of a Service any more", "global.proxy.clusterDomain"),
    ("istio-system", "istiod is looked for where it is not", "global.istioNamespace"),
    (r"\*", _PAST, "global.proxy.includeInboundPorts", "global.proxy.includeIPRanges"),
)
"""The expression of the values with which all is well, what becomes of it with others, and the values' keys."""
_DOUBTS: tuple[tuple[str, ...], ...] = (
    (r"\[\]", "some pods may get no sidecar", f"{_INJECTOR}neverInjectSelector", f"{_INJECTOR}defaultTemplates"),
    ("", "some pods may get no sidecar", f"{_INJECTOR}templates.sidecar"),
    (r"\[\]", "istiod knows nothing of namespaces that these do not select", "meshConfig.discoverySelectors"),
    ("", _PAST, *(f"global.proxy.exclude{what}" for what in ("InboundPorts", "OutboundPorts", "IPRanges"))),
    ("(?!0$).*", "one istiod runs, unscaled: 0 is not set", "replicaCount", "autoscaleMin", "autoscaleMax"),
)
"""The same, where another value may be right too."""


def _unsafe_values(region: Region) -> Iterator[Violation]:
    for setting, value in region.settings.items():
        if not setting.startswith(VALUES):
            continue
        # the chart takes what is below `pilot` as if it were not
        key = setting.removeprefix(VALUES).removeprefix("pilot.")
        if (what := _contradiction(key, value, region.settings)) is not None:
            yield Violation(f"$.{setting}", f"{value} {what}")
        # true and "true" are the same to the chart
        text = str(value).lower() if isinstance(value, bool) else str(value)
        for table, severity in ((_SWITCHES, None), (_DOUBTS, Severity.WARNING)):
            for safe, effect, *keys in table:
                if value is not None and key in keys and not re.fullmatch(safe, text):
                    yield Violation(f"$.{setting}", f"with {text}, {effect}", severity=severity)


def _contradiction(key: str, value: object, settings: Mapping[str, object]) -> str | None:
    version = str(settings.get("istio.version"))
    if key in ("tag", "global.tag") and not str(value).startswith(version.removeprefix("v")):
        return f"is not of istio.version, {version}"
    if any(known.startswith(f"{key}.") for known in _SETTINGS):
        return "takes the place of all that the program sets below"
    setting = _SETTINGS.get(key, "")
    return None if settings.get(setting, value) == value else f"takes the place of {setting}, {settings[setting]}"


def _plain(region: Region) -> Iterator[Violation]:
    for setting in ("argocd.manifest", "istio.charts"):
        if str(value := region.settings.get(setting)).startswith("http://"):
            yield Violation(f"$.{setting}", f"{value} is read without encryption")


VALUES_KEEP_THE_MESH: Rule[Region] = Rule(
    id="helm-values-keep-the-mesh",
    holds="Helm values neither contradict other settings nor switch off what the split and mutual TLS rest on.",
    reason="they win over the program's own, so that another mesh runs than the one that the stack file says and the rules judge",
    mend="leave the value out, or change the setting that it contradicts",
    check=_unsafe_values,
    of_service=False,
)
FOUND_KEEPS_THE_MESH = replace(
    VALUES_KEEP_THE_MESH,
    reason="another mesh runs than the one that the stack file says and the rules judge",
    mend="change it there, or the setting of the stack file that it contradicts",
)
"""The same rule, for what an Istio that others installed is set to."""
PLATFORM: tuple[Rule[Region], ...] = (
    VALUES_KEEP_THE_MESH,
    Rule(
        id="sources-encrypted",
        holds="Argo CD's manifest and Istio's charts are files, or are read by https.",
        reason="somebody on the network can change the file, and what it installs has all rights in the cluster",
        mend="write https://, or the path of a copy",
        check=_plain,
        of_service=False,
    ),
)
