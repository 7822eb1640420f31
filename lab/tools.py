"""The programs that a lab is made of: from PATH where the version fits, else built from Go modules, once per user.

The `go.mod` files in `lab/toolchain/` and `app/` pin every version; no version stands here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.cache import PreparationError, Report
from lab.gobuild import Go, Tool, build, location
from lab.place import CHECKOUT

TOOLCHAIN = CHECKOUT / "lab" / "toolchain"
APP = CHECKOUT / "app"

# The release line that the pinned commit of Istio belongs to; `istio_source` holds it against the module's own VERSION file.
ISTIO_LINE = "1.31"
ISTIO_MODULE = "istio.io/istio"
ARGOCD_MODULE = "github.com/argoproj/argo-cd/v3"
_VERSION_SECONDS = 5


def pinned(module: Path, dependency: str) -> str:
    """The version, as in `v1.34.4`, that the `go.mod` of the folder `module` requires of `dependency`.

    Raises:
        PreparationError: it requires none.
    """
    file = module / "go.mod"
    found = re.search(rf"^(?:require)?\s+{re.escape(dependency)}\s+(v\S+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise PreparationError(f"{file} requires no {dependency}, so its version is unknown. Restore the file.")
    return found[1]


def istio_version() -> str:
    """The version that the lab's Istio, its images and its charts carry: the release line and the pinned commit."""
    commit = pinned(TOOLCHAIN / "istio", ISTIO_MODULE).rsplit("-", 1)[1]
    return f"{ISTIO_LINE}.0-lab.{commit}"


def argocd_version() -> str:
    """The version of the lab's Argo CD, its image and its manifests, as in `v3.5.7`."""
    return pinned(TOOLCHAIN / "argocd", ARGOCD_MODULE)


def lab_tools(echo_images: Collection[str], probe_image: str) -> tuple[Tool, ...]:
    """Every program of a lab; those of `app/` in the releases that the tags of their images name.

    Args:
        echo_images: names of echo's images in the stack files.
        probe_image: name of the probe's image in the stack files.

    Raises:
        PreparationError: an image has no tag.
    """
    echoes = {echo_tool(image): image for image in echo_images}
    return (
        *platform_tools(),
        Tool("probe", APP / "probe", ldflags=_release_flag(probe_image)),
        *(Tool(name, APP / "echo", ldflags=_release_flag(image)) for name, image in sorted(echoes.items())),
    )


def platform_tools() -> tuple[Tool, ...]:
    """The programs of a lab that are not of `app/`."""
    return (
        *_kubernetes(),
        _etcd(),
        *_istio(),
        Tool("coredns", TOOLCHAIN / "coredns"),
        Tool("pause", TOOLCHAIN / "pause"),
        _pulumi(),
        _helm(),
        _argocd(),
        _kustomize(),
    )


def echo_tool(image: str) -> str:
    """Name of the tool that is the echo server in this image."""
    return f"echo-{release_of(image)}"


def release_of(image: str) -> str:
    """The release of our program that belongs into an image: its tag.

    Raises:
        PreparationError: it has none.
    """
    found = re.search(r":([\w][\w.-]*)$", image)
    if found is None:
        raise PreparationError(
            f"The image `{image}` has no tag. The lab builds the release of the program that the tag names, so it cannot "
            "know which one to build. Write a tag, as in registry.corp.local/echo:1.0.0."
        )
    return found[1]


def ensure(tools: Collection[Tool], cache: Path, report: Report, jobs: int = 2) -> dict[str, Path]:
    """See that every tool is there.

    Args:
        tools: what is wanted.
        cache: the root of the user's cache of the lab.
        report: gets a line for a person, at least every ten seconds while something is built.
        jobs: how many modules are built at a time.

    Returns:
        The program by the tool's name.

    Raises:
        PreparationError: a tool can neither be found nor built.
    """
    go = Go.find()
    places = {tool.name: location(tool, go, cache) for tool in tools} | on_path(tools)
    missing = [tool for tool in tools if not places[tool.name].exists()]
    if missing:
        build(missing, go, cache, report, jobs)
    return places


def on_path(tools: Collection[Tool]) -> dict[str, Path]:
    """The tools that PATH has in exactly the pinned version."""
    found = {tool: shutil.which(tool.name) for tool in tools if tool.version}
    candidates = {tool: Path(program) for tool, program in found.items() if program}
    with ThreadPoolExecutor() as pool:
        answers = pool.map(_fits, candidates.keys(), candidates.values())
    return {tool.name: program for (tool, program), fits in zip(candidates.items(), answers, strict=True) if fits}


def _fits(tool: Tool, program: Path) -> bool:
    command = [str(program), *tool.version_arguments]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=_VERSION_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return re.search(rf"(?<![\w.+-])v?{re.escape(tool.version)}(?![\w.+-])", answer.stdout) is not None


def _release_flag(image: str) -> str:
    return f"-X main.release={release_of(image)}"


def _kubernetes() -> list[Tool]:
    module = TOOLCHAIN / "kubernetes"
    version = pinned(module, "k8s.io/kubernetes")
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    ldflags = " ".join(
        f"-X {package}.{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in values.items()
    )
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    return [
        Tool(
            name,
            module,
            f"k8s.io/kubernetes/cmd/{name}",
            ldflags,
            version.removeprefix("v"),
            ("version", "--client") if name == "kubectl" else ("--version",),
        )
        for name in names
    ]


def _etcd() -> Tool:
    module, package = TOOLCHAIN / "etcd", "go.etcd.io/etcd/server/v3"
    return Tool("etcd", module, package, version=pinned(module, package).removeprefix("v"))


def _istio() -> list[Tool]:
    # never from PATH: no release of the pinned commit exists
    ldflags = f"-X {ISTIO_MODULE}/pkg/version.buildVersion={istio_version()}"
    return [
        Tool(name, TOOLCHAIN / "istio", f"{ISTIO_MODULE}/pilot/cmd/{name}", ldflags)
        for name in ("pilot-discovery", "pilot-agent")
    ]


def _pulumi() -> Tool:
    module = TOOLCHAIN / "pulumi"
    version = pinned(module, "github.com/pulumi/pulumi/pkg/v3").removeprefix("v")
    return Tool(
        "pulumi",
        module,
        "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={version}",
        version,
        ("version",),
    )


def _helm() -> Tool:
    module = TOOLCHAIN / "helm"
    version = pinned(module, "helm.sh/helm/v3")
    minor = pinned(module, "k8s.io/client-go").split(".")[1]
    kubernetes = "helm.sh/helm/v3/pkg/chartutil.k8sVersion"  # what charts are told when no cluster is asked
    ldflags = (
        f"-X helm.sh/helm/v3/internal/version.version={version} -X {kubernetes}Major=1 -X {kubernetes}Minor={minor}"
    )
    arguments = ("version", "--template", "{{.Version}}")
    return Tool("helm", module, "helm.sh/helm/v3/cmd/helm", ldflags, version.removeprefix("v"), arguments)


def _argocd() -> Tool:
    # one binary, which its argv[0] tells what to be; never from PATH, where the release's is linked against another C library
    ldflags = f"-X {ARGOCD_MODULE}/common.version={argocd_version().removeprefix('v')}"
    return Tool("argocd", TOOLCHAIN / "argocd", f"{ARGOCD_MODULE}/cmd", ldflags)


def _kustomize() -> Tool:
    module, package = TOOLCHAIN / "kustomize", "sigs.k8s.io/kustomize/kustomize/v5"
    version = pinned(module, package)
    return Tool(
        "kustomize",
        module,
        package,
        f"-X sigs.k8s.io/kustomize/api/provenance.version={version}",
        version.removeprefix("v"),
        ("version",),
    )
