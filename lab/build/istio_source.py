"""What the lab takes from Istio's Go module beside its programs: the Helm charts and Envoy's bootstrap template."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lab.build.cache import PreparationError, key_of
from lab.build.go import Go
from lab.build.modules import kept
from lab.build.tools import ISTIO_LINE, ISTIO_MODULE, PLATFORM, istio_version

# by the folder's name in our cache, where the module has it
_CHARTS = {"base": "manifests/charts/base", "istiod": "manifests/charts/istio-control/istio-discovery"}
_TEMPLATE = "tools/packaging/common/envoy_bootstrap.json"


def istio_charts(cache: Path) -> Path:
    """The folder that holds Istio's charts `base` and `istiod`, both of version `istio_version()`.

    In the module they all are of version 1.0.0, by which nobody would see a chart change.

    Args:
        cache: the root of the user's cache of the lab.

    Raises:
        PreparationError: the module cannot be had, or is not of the release line that we say it is.
    """
    return _istio_files(cache) / "charts"


def bootstrap_template(cache: Path) -> Path:
    """The template of Envoy's bootstrap that pilot-agent fills in; arguments and errors as `istio_charts`."""
    return _istio_files(cache) / Path(_TEMPLATE).name


def _istio_files(cache: Path) -> Path:
    key = key_of(istio_version(), *_CHARTS.keys(), *_CHARTS.values(), _TEMPLATE)
    return kept(cache / "istio" / key, lambda target: _copy(_source(cache), target))


def _source(cache: Path) -> Path:
    return Go.find(cache, lambda _: None).module_dir(PLATFORM, ISTIO_MODULE)


def _copy(source: Path, target: Path) -> None:
    version = istio_version()
    line = (source / "VERSION").read_text().strip()
    if line != ISTIO_LINE:
        raise PreparationError(
            f"{source / 'VERSION'} says {line}, the lab says {ISTIO_LINE}: its charts and images would carry a wrong version. "
            "Set ISTIO_LINE in lab/build/tools.py to the line of the commit that lab/toolchain/platform/go.mod pins."
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
