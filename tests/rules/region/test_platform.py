from __future__ import annotations

from dataclasses import replace

import pytest

from rules.facts.region import Region
from rules.finding import Severity
from tests.rules import altered, good

VALUES = "helm-values-keep-the-mesh"
OWN = {
    "mesh.trustDomain": "corp.local",
    "mesh.meshId": "mesh",
    "mesh.network": "network-a",
    "argocd.manifest": "https://mirror.corp.local/install.yaml",
    "istio.charts": "oci://mirror.corp.local/charts",
}


def having(setting: str, value: object) -> Region:
    region = good.region()
    return replace(region, settings={**region.settings, **OWN, setting: value})


class TestHelmValues:
    @pytest.mark.parametrize(
        ("value", "given", "what"),
        [
            ("meshConfig.trustDomain", "other.local", "other.local takes the place of mesh.trustDomain, corp.local"),
            ("pilot.global.meshID", "other", "other takes the place of mesh.meshId, mesh"),
            ("global.multiCluster.clusterName", "b", "b takes the place of region, region-a"),
            ("global", None, "None takes the place of all that the program sets below"),
            ("global.tag", "1.30.2", "1.30.2 is not of istio.version, 1.31.1"),
            ("global.proxy.autoInject", "disabled", "with disabled, no pod gets a sidecar any more"),
            ("global.resourceScope", "namespace", "with namespace, no pod gets a sidecar any more"),
            ("profile", "remote", "with remote, this cluster has no istiod"),
        ],
    )
    def test_one_that_contradicts_or_switches_off_is_refused(self, value: str, given: object, what: str) -> None:
        setting = f"istio.values.{value}"

        (found,) = altered.violations(VALUES, having(setting, given))

        assert (found.where, found.what, found.severity) == (f"$.{setting}", what, None)

    @pytest.mark.parametrize(
        ("value", "given"),
        [
            ("pilot.env.ENABLE_NATIVE_SIDECARS", False),
            ("env.ENABLE_NATIVE_SIDECARS", "false"),
            ("compatibilityVersion", "1.9"),
            ("compatibilityVersion", "1.26"),
            ("revision", "default"),
            ("sidecarInjectorWebhook.rewriteAppHTTPProbe", False),
            ("meshConfig.enableAutoMtls", "false"),
            ("meshConfig.defaultServiceExportTo", ["."]),
            ("global.proxy.clusterDomain", "corp.local"),
            ("global.proxy.includeInboundPorts", ""),
        ],
    )
    def test_so_is_each_of_these(self, value: str, given: object) -> None:
        assert len(altered.violations(VALUES, having(f"istio.values.{value}", given))) == 1

    @pytest.mark.parametrize(
        ("value", "given"),
        [
            ("sidecarInjectorWebhook.defaultTemplates", ["sidecar", "own"]),
            ("meshConfig.discoverySelectors", [{"matchLabels": {"mesh": "in"}}]),
            ("global.proxy.excludeOutboundPorts", "5432"),
            ("pilot.autoscaleMin", 0),
        ],
    )
    def test_one_that_may_be_right_is_a_warning(self, value: str, given: object) -> None:
        (found,) = altered.violations(VALUES, having(f"istio.values.{value}", given))

        assert found.severity is Severity.WARNING

    @pytest.mark.parametrize(
        ("value", "given"),
        [
            ("meshConfig.trustDomain", "corp.local"),
            ("global.multiCluster.clusterName", "region-a"),
            ("global.tag", "1.31.1-distroless"),
            ("env.ENABLE_NATIVE_SIDECARS", None),
            ("compatibilityVersion", "1.27"),
            ("profile", "demo"),
            ("autoscaleMin", 10),
            ("meshConfig.enableAutoMtls", True),
            ("meshConfig.defaultServiceExportTo", ["*"]),
            ("resources.requests.cpu", "2"),
        ],
    )
    def test_one_that_says_the_same_or_something_else_is_fine(self, value: str, given: object) -> None:
        assert altered.texts(VALUES, having(f"istio.values.{value}", given)) == []


class TestSources:
    @pytest.mark.parametrize("setting", ["argocd.manifest", "istio.charts"])
    def test_plain_http_is_refused(self, setting: str) -> None:
        address = "http://mirror.corp.local/it"

        assert altered.texts("sources-encrypted", having(setting, address)) == [
            f"$.{setting}: {address} is read without encryption"
        ]

    @pytest.mark.parametrize("source", ["https://mirror.corp.local/it", "oci://mirror.corp.local/it", "http/it", None])
    def test_what_is_encrypted_or_at_hand_is_fine(self, source: str | None) -> None:
        assert altered.texts("sources-encrypted", having("argocd.manifest", source)) == []
