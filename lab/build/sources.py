"""What the lab takes from Go modules beside their programs: Istio's charts, Argo CD's manifests and scripts, copied into the cache."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from lab.build.cache import keep, key_of
from lab.build.go import Go
from lab.build.versions import ARGOCD_MODULE, ISTIO_LINE, ISTIO_MODULE, PLATFORM, argocd_version, istio_version
from lab.report import LabError

# by the folder's name in our cache, where the module has it
_CHARTS = {
    "base": "manifests/charts/base",
    "istiod": "manifests/charts/istio-control/istio-discovery",
    "gateway": "manifests/charts/gateway",
}
_TEMPLATE = "tools/packaging/common/envoy_bootstrap.json"

_CORE = "manifests/core-install.yaml"
# what Argo CD's own Dockerfile puts beside the program: repo-server runs the wrappers
_SCRIPTS = ("entrypoint.sh", "hack/gpg-wrapper.sh", "hack/git-verify-wrapper.sh")
_ARGOCD = (_CORE, *_SCRIPTS)


def istio_charts(cache: Path) -> Path:
    """The folder that holds Istio's charts `base`, `istiod` and `gateway`, all of version `istio_version()`.

    In the module they all are of version 1.0.0, by which nobody would see a chart change.

    Args:
        cache: the root of the user's cache of the lab.

    Raises:
        LabError: the module cannot be had, or is not of the release line that we say it is.
    """
    return _istio_files(cache) / "charts"


def bootstrap_template(cache: Path) -> Path:
    """The template of Envoy's bootstrap that pilot-agent fills in; arguments and errors as `istio_charts`."""
    return _istio_files(cache) / Path(_TEMPLATE).name


def core_manifest(cache: Path) -> Path:
    """The manifest of an Argo CD without web page, API server and Dex, of version `argocd_version()`.

    Args:
        cache: the root of the user's cache of the lab.

    Raises:
        LabError: the module cannot be had.
    """
    return _argocd_files(cache) / Path(_CORE).name


def image_scripts(cache: Path) -> tuple[Path, ...]:
    """The scripts that belong beside Argo CD's program in its image; arguments and errors as `core_manifest`."""
    return tuple(_argocd_files(cache) / Path(name).name for name in _SCRIPTS)


def _istio_files(cache: Path) -> Path:
    key = key_of(istio_version(), *_CHARTS.keys(), *_CHARTS.values(), _TEMPLATE)
    return _copied(cache, cache / "istio" / key, ISTIO_MODULE, _copy_istio)


def _argocd_files(cache: Path) -> Path:
    return _copied(cache, cache / "argocd" / key_of(argocd_version(), *_ARGOCD), ARGOCD_MODULE, _copy_argocd)


def _copied(cache: Path, target: Path, module: str, copy: Callable[[Path, Path], None]) -> Path:
    """See that `target` is there; if it is not, `copy` gets the module's folder and an empty one to fill."""

    def make(work: Path) -> Path:
        files = work / "files"
        files.mkdir()
        copy(Go.find(cache, lambda _: None).module_dir(PLATFORM, module), files)
        return files

    return keep(target, make)


def _copy_istio(source: Path, target: Path) -> None:
    version = istio_version()
    line = (source / "VERSION").read_text().strip()
    if line != ISTIO_LINE:
        raise LabError(
            f"{source / 'VERSION'} says {line}, the lab says {ISTIO_LINE}: its charts and images would carry a wrong version. "
            "Set ISTIO_LINE in lab/build/versions.py to the line of the commit that lab/toolchain/platform/go.mod pins."
        )
    for name, folder in _CHARTS.items():
        chart = target / "charts" / name
        # contents only: the module cache is read-only, and so would its copy be
        for file in (path for path in (source / folder).rglob("*") if path.is_file()):
            copy = chart / file.relative_to(source / folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        description = chart / "Chart.yaml"
        description.write_text(re.sub(r"(?m)^((?:appV|v)ersion:).*$", rf"\1 {version}", description.read_text()))
    shutil.copyfile(source / _TEMPLATE, target / Path(_TEMPLATE).name)


def _copy_argocd(source: Path, target: Path) -> None:
    for name in _ARGOCD:
        shutil.copyfile(source / name, target / Path(name).name)
