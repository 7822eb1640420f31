"""A containerd root that holds the lab's images unpacked: made once per user, and given to each new region by hard links.

Importing them into each region takes half as long as all the rest of bringing it up. Nothing writes to an unpacked layer in place:
overlayfs copies a file before it is changed, and containerd replaces or removes whole files. Its databases alone are copied.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lab.build.cache import keep, key_of
from lab.machine.children import Children, CommandFailedError, make_all
from lab.machine.health import accepts
from lab.machine.waiting import comes_true
from lab.report import LabError, Report

_DATABASES = ("io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db")
_START_SECONDS = 30


def ensure_store(archives: Sequence[Path], cache: Path, report: Report) -> Path | None:
    """See that the root is there; None if containerd cannot unpack images in the cache, as where that is an overlay itself.

    Args:
        archives: the images, as `lab.build.images.ensure_images` returns them.
        cache: the root of the user's cache of the lab.
        report: gets a line for a person, at least every ten seconds while it is made.
    """
    store = cache / "stores" / key_of(*(str(archive.relative_to(cache)) for archive in archives))
    if not store.exists():
        try:
            make_all([_Build(archives, store)], report, 1)
        except LabError as error:
            report(f"each region imports its images itself: {error}")
            return None
    return store


def give(store: Path, root: Path) -> bool:
    """Make `root`, which is not there yet, a copy of the store; False, and nothing is made, if it is on another file system."""
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    copied = subprocess.run(
        ["cp", "--archive", "--link", "--no-target-directory", str(store), str(partial)],
        capture_output=True,
        check=False,
    )
    if copied.returncode != 0:
        shutil.rmtree(partial, ignore_errors=True)
        return False
    for name in _DATABASES:
        (partial / name).unlink()
        shutil.copy2(store / name, partial / name)
    partial.replace(root)
    return True


class _Build:
    """The store on its way into the cache."""

    name = "store of unpacked images"

    def __init__(self, archives: Sequence[Path], target: Path) -> None:
        self._archives = archives
        self._target = target
        self._unpacked = 0

    def progress(self) -> str:
        return f"{self._unpacked} of {len(self._archives)} images"

    def make(self, children: Children) -> None:
        keep(self._target, partial(self._unpack, children), children.stopped)

    def _unpack(self, children: Children, work: Path) -> Path:
        with tempfile.TemporaryDirectory() as short:  # a socket's path may have 107 bytes
            self._import(children, work, Path(short))
        return work / "root"

    def _import(self, children: Children, work: Path, short: Path) -> None:
        socket = short / "containerd.sock"
        settings = work / "containerd.toml"
        settings.write_text(
            f'version = 2\nroot = "{work}/root"\nstate = "{short}/state"\noom_score = 0\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
            f'[grpc]\n  address = "{socket}"\n'
        )
        # if this command is killed, containerd goes with it, and what it has mounted goes with its namespace
        apart = ["unshare", "--mount", "setpriv", "--pdeathsig", "KILL", "--"]
        command = [*apart, "containerd", "--config", str(settings)]
        with (work / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as daemon:
            try:
                if not comes_true(lambda: accepts(socket), _START_SECONDS):
                    raise LabError(
                        f"containerd does not start, so the images cannot be unpacked:\n{(work / 'log').read_text()[-2000:]}"
                    )
                for archive in self._archives:
                    importing = ["ctr", f"--address={socket}", "--namespace=k8s.io", "images", "import", str(archive)]
                    children.run(importing, directory=work, environment=os.environ)
                    self._unpacked += 1
            except CommandFailedError as failure:
                raise LabError(f"an image cannot be unpacked: {failure}:\n{failure.tail}") from failure
            finally:
                daemon.terminate()
