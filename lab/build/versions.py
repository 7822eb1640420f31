"""The versions of what the lab builds, pinned in the `go.mod` files of `lab/toolchain/`, and the names of its images."""

from __future__ import annotations

import re
from pathlib import Path

from lab.report import LabError

TOOLCHAIN = Path(__file__).parents[1] / "toolchain"
PLATFORM = TOOLCHAIN / "platform"
PULUMI = TOOLCHAIN / "pulumi"

ISTIO_MODULE = "istio.io/istio"
ARGOCD_MODULE = "github.com/argoproj/argo-cd/v3"
PROVIDER_MODULE = "github.com/pulumi/pulumi-kubernetes/provider/v4"
# The release line that the pinned commit of Istio belongs to; `lab.build.sources` holds it against the module's own VERSION file.
ISTIO_LINE = "1.31"
# The release that the pinned commit of the provider was to become: the commit is after v4.24.1 and before v4.25.0.
_PROVIDER_LINE = "4.25.0"

HUB = "localhost"
PAUSE = f"{HUB}/pause:lab"
COREDNS = f"{HUB}/coredns:lab"
REDIS = f"{HUB}/redis:lab"
PROMETHEUS = f"{HUB}/prometheus:lab"


def pinned(module: Path, dependency: str) -> str:
    """The version, as in `v1.34.4`, that the `go.mod` of the folder `module` requires of `dependency`.

    Raises:
        LabError: it requires none.
    """
    file = module / "go.mod"
    found = re.search(rf"^(?:require)?\s+{re.escape(dependency)}\s+(v\S+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise LabError(f"{file} requires no {dependency}, so its version is unknown. Restore the file.")
    return found[1]


def istio_version() -> str:
    """The version that the lab's Istio, its images and its charts carry: the release line and the pinned commit."""
    commit = pinned(PLATFORM, ISTIO_MODULE).rsplit("-", 1)[1]
    return f"{ISTIO_LINE}.0-lab.{commit}"


def argocd_version() -> str:
    """The version of the lab's Argo CD, its image and its manifests, as in `v3.4.5`."""
    return pinned(PLATFORM, ARGOCD_MODULE)


def provider_version() -> str:
    """The version of the Kubernetes provider that the lab builds, as in `4.25.0-alpha.20260115033456`."""
    return f"{_PROVIDER_LINE}-alpha.{pinned(PULUMI, PROVIDER_MODULE).split('-')[1]}"


def istio_image(name: str) -> str:
    """Name of an image of Istio's, `pilot` or `proxyv2`; its charts make it of the hub and the tag `istio_version()`."""
    return f"{HUB}/{name}:{istio_version()}"


def argocd_image() -> str:
    """Name of the image of all parts of Argo CD but redis."""
    return f"{HUB}/argocd:{argocd_version()}"
