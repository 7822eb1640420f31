"""Debian packages that the lab's clusters and images are made with, installed through apt where they are missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.report import LabError, Report

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TAIL_LINES = 15

# Commands, looked for on PATH, and files that a package must bring.
PACKAGES: Mapping[str, Sequence[str]] = {
    "containerd": ("containerd", "ctr"),
    "runc": ("runc",),
    "containernetworking-plugins": ("/usr/lib/cni/ptp", "/usr/lib/cni/host-local", "/usr/lib/cni/portmap"),
    "iptables": ("iptables",),
    "nftables": ("nft",),
    "conntrack": ("conntrack",),
    "iproute2": ("ip",),
    "util-linux": ("nsenter", "unshare", "setpriv"),
    "buildah": ("buildah",),
    "git": ("git", "/usr/lib/git-core/git-daemon"),
    "mmdebstrap": ("mmdebstrap",),
    "ca-certificates": ("/etc/ssl/certs/ca-certificates.crt",),
}

# Maintainer scripts start services through these commands only. For this one call of apt they find, first on dpkg's own
# PATH, commands that do nothing; the machine's policy-rc.d and its running services are left as they are.
_INSTALL = """
set -e
quiet=$(mktemp -d)
trap 'rm -r "$quiet"' EXIT
for name in systemctl deb-systemd-invoke invoke-rc.d service; do
  printf '#!/bin/sh\\n' > "$quiet/$name" && chmod 755 "$quiet/$name"
done
apt-get update || true # a source of somebody else may fail: the installation decides
apt-get install --yes --no-remove --no-install-recommends \\
  -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold -o "DPkg::Path=$quiet:$SYSTEM_PATH" "$@"
"""


def os_release() -> Mapping[str, str]:
    """What the system says of itself in os-release; nothing if it has none."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def codename() -> str:
    """The code name of the Debian or Ubuntu release, as in `bookworm`; empty on a system that has none."""
    return os_release().get("VERSION_CODENAME", "")


def missing_packages() -> list[str]:
    """Packages of which something is not there; nothing is run to find out."""
    path = os.pathsep.join([os.environ.get("PATH", ""), _SYSTEM_PATH])
    return [
        package
        for package, things in PACKAGES.items()
        if not all(
            Path(thing).exists() if thing.startswith("/") else shutil.which(thing, path=path) for thing in things
        )
    ]


def ensure_packages(report: Report) -> None:
    """Install what is missing, see `install`.

    Raises:
        LabError: something is missing and apt cannot install it here.
    """
    missing = missing_packages()
    if not missing:
        return
    why = f"These Debian packages are missing: {' '.join(missing)}. The lab's clusters and images are made with them."
    install(missing, why, report)
    if left := missing_packages():
        raise LabError(f"{why} apt installed them, but what {' '.join(left)} should bring is not there. See why.")


def install(packages: Sequence[str], why: str, report: Report) -> None:
    """Install packages, in one transaction that removes nothing and starts no service.

    If the lab's command ends meanwhile, apt goes on to its end: a half-installed package would be worse.

    Raises:
        LabError: apt cannot install them here; it begins with `why`, a sentence that says what is missing.
    """
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise LabError(f"{why} There is no apt-get here: install what your system calls them, or use Debian 12.")
    if os.geteuid() != 0:
        raise LabError(f"{why} Only root may install them: run the lab as root, or `apt-get install {names}`.")
    report(f"installing the Debian packages {names} (no service is started)")
    environment = os.environ | {
        "DEBIAN_FRONTEND": "noninteractive",
        "NEEDRESTART_SUSPEND": "1",
        "SYSTEM_PATH": _SYSTEM_PATH,
    }
    # a file takes the output, not a pipe, which would break under apt's hands if the lab's command were killed
    with tempfile.TemporaryFile("w+") as output:
        command = ["sh", "-c", _INSTALL, "sh", *packages]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        ) as apt:
            code = apt.wait()
        if code:
            output.seek(0)
            tail = "".join(f"  {line}" for line in output.readlines()[-_TAIL_LINES:])
            raise LabError(
                f"{why} apt-get ended with code {code}:\n{tail}"
                "Put right what these lines tell of, or install the packages by hand, then run the same command again."
            )
