"""What the lab takes from Argo CD's Go module beside its program: the manifests and the image's scripts."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.build.cache import key_of
from lab.build.go import Go
from lab.build.modules import kept
from lab.build.tools import ARGOCD_MODULE, PLATFORM, argocd_version

_CORE = "manifests/core-install.yaml"
_FULL = "manifests/install.yaml"
# what Argo CD's own Dockerfile puts beside the program: repo-server runs the wrappers
_SCRIPTS = ("entrypoint.sh", "hack/gpg-wrapper.sh", "hack/git-verify-wrapper.sh")
_FILES = (_CORE, _FULL, *_SCRIPTS)


def core_manifest(cache: Path) -> Path:
    """The manifest of an Argo CD without web page, API server and Dex, of version `argocd_version()`.

    Args:
        cache: the root of the user's cache of the lab.

    Raises:
        PreparationError: the module cannot be had.
    """
    return _argocd_files(cache) / Path(_CORE).name


def full_manifest(cache: Path) -> Path:
    """The manifest of a whole Argo CD; arguments and errors as `core_manifest`."""
    return _argocd_files(cache) / Path(_FULL).name


def image_scripts(cache: Path) -> tuple[Path, ...]:
    """The scripts that belong beside the program in its image; arguments and errors as `core_manifest`."""
    return tuple(_argocd_files(cache) / Path(name).name for name in _SCRIPTS)


def _argocd_files(cache: Path) -> Path:
    return kept(cache / "argocd" / key_of(argocd_version(), *_FILES), lambda target: _copy(_source(cache), target))


def _source(cache: Path) -> Path:
    return Go.find(cache, lambda _: None).module_dir(PLATFORM, ARGOCD_MODULE)


def _copy(source: Path, target: Path) -> None:
    target.mkdir()
    for name in _FILES:
        shutil.copyfile(source / name, target / Path(name).name)
