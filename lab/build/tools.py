"""The programs that a lab is made of, built from Go modules once per user.

The `go.mod` files in `lab/toolchain/` and `app/` pin every version; `lab.build.versions` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

from lab.build.go import Go, Shared, Tool, build, location
from lab.build.versions import (
    ARGOCD_MODULE,
    ISTIO_MODULE,
    PLATFORM,
    PROVIDER_MODULE,
    PULUMI,
    argocd_version,
    istio_version,
    pinned,
    provider_version,
)
from lab.place import CHECKOUT
from lab.report import LabError, Report

APP = CHECKOUT / "app"

KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
PROVIDER = "pulumi-resource-kubernetes"
_SDK_MODULE = "github.com/pulumi/pulumi-kubernetes/sdk/v4"
_PROVIDER_SOURCE = f"cmd/{PROVIDER}"
# As Istio's own build has them: they leave out validators that nothing calls and put in the faster encoding.
_PLATFORM_TAGS = "disable_pgv,vtprotobuf"


def lab_tools(echo_images: Collection[str], probe_image: str) -> tuple[Tool, ...]:
    """Every program of a lab; those of `app/` in the releases that the tags of their images name.

    Args:
        echo_images: names of echo's images in the stack files.
        probe_image: name of the probe's image in the stack files.

    Raises:
        LabError: an image has no tag.
    """
    echoes = {echo_tool(image): image for image in echo_images}
    return (
        *platform_tools(),
        Tool("probe", APP / "probe", ldflags=_release_flag(probe_image)),
        *(Tool(name, APP / "echo", ldflags=_release_flag(image)) for name, image in sorted(echoes.items())),
    )


def platform_tools() -> tuple[Tool, ...]:
    """The programs of a lab that are not of `app/`."""
    kubernetes = [_platform(name, "./kubernetes") for name in KUBERNETES_PROGRAMS]
    return (
        *kubernetes,
        _platform("etcd", "go.etcd.io/etcd/server/v3"),
        _platform("coredns", "./coredns"),
        _platform("pause", "./pause"),
        *(_platform(name, f"{ISTIO_MODULE}/pilot/cmd/{name}") for name in ("pilot-discovery", "pilot-agent")),
        _platform("kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),
        # one binary, which its argv[0] tells what to be
        _platform("argocd", f"{ARGOCD_MODULE}/cmd"),
        *_pulumi(),
    )


def echo_tool(image: str) -> str:
    """Name of the tool that is the echo server in this image."""
    return f"echo-{release_of(image)}"


def release_of(image: str) -> str:
    """The release of our program that belongs into an image: its tag.

    Raises:
        LabError: it has none.
    """
    found = re.search(r":([\w][\w.-]*)$", image)
    if found is None:
        raise LabError(
            f"The image `{image}` has no tag. The lab builds the release of the program that the tag names, so it cannot "
            "know which one to build. Write a tag, as in registry.corp.local/echo:1.0.0."
        )
    return found[1]


def ensure(tools: Collection[Tool], cache: Path, report: Report) -> dict[str, Path]:
    """See that every tool is there.

    Args:
        tools: what is wanted.
        cache: the root of the user's cache of the lab.
        report: gets a line for a person, at least every ten seconds while something is built.

    Returns:
        The program by the tool's name.

    Raises:
        LabError: a tool can neither be found nor built.
    """
    go = Go.find(cache, report)
    places = {tool.name: location(tool, go, cache) for tool in tools}
    missing = [tool for tool in tools if not places[tool.name].exists()]
    if missing:
        build(missing, go, cache, report)
    return places


def _release_flag(image: str) -> str:
    return f"-X main.release={release_of(image)}"


def _platform(name: str, package: str) -> Tool:
    return Tool(name, PLATFORM, package, _platform_flags(), _PLATFORM_TAGS)


@cache
def _platform_flags() -> str:
    kubernetes = pinned(PLATFORM, "k8s.io/kubernetes")
    major, minor, _ = kubernetes.removeprefix("v").split(".")
    values = {
        f"{package}.{name}": value
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in {"gitVersion": kubernetes, "gitMajor": major, "gitMinor": minor}.items()
    } | {
        f"{ISTIO_MODULE}/pkg/version.buildVersion": istio_version(),
        f"{ARGOCD_MODULE}/common.version": argocd_version().removeprefix("v"),
        "sigs.k8s.io/kustomize/api/provenance.version": pinned(PLATFORM, "sigs.k8s.io/kustomize/kustomize/v5"),
    }
    return " ".join(f"-X {name}={value}" for name, value in values.items())


def _pulumi() -> list[Tool]:
    version = pinned(PULUMI, "github.com/pulumi/pulumi/pkg/v3").removeprefix("v")
    ldflags = (
        f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={version} -X main.version={provider_version()}"
    )
    # the provider's own main package embeds them under other names, which its module does not hold
    embedded = tuple(
        Shared(f"{PROVIDER}/{name}", PROVIDER_MODULE, f"{_PROVIDER_SOURCE}/{name}")
        for name in ("schema.json", "terraform-mapping.json")
    )
    patch = Shared("kinds/kinds.go", _SDK_MODULE, "go/kubernetes/yaml/v2/kinds.go")
    return [
        Tool("pulumi", PULUMI, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", ldflags, embedded=embedded, patch=patch),
        Tool(PROVIDER, PULUMI, f"./{PROVIDER}", ldflags, embedded=embedded, patch=patch),
        # what puts right a release whose operation was killed; the provider has it compiled already
        Tool("helm", PULUMI, "helm.sh/helm/v3/cmd/helm", ldflags, embedded=embedded, patch=patch),
    ]
