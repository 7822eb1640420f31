"""Programs built from Go modules, side by side, with a word on how far they are."""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.cache import PreparationError, Report, key_of, making, place_noted
from lab.children import Children, CommandFailedError, make_all
from lab.disk import free_bytes, shortages

_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
_BINARY_MEGABYTES = 155  # the largest, argocd
_DOWNLOADING = "go: downloading "


@dataclass(frozen=True)
class Tool:
    """One program that a Go module builds.

    Attributes:
        name: of the program, unique among all tools.
        module: the module's folder.
        package: the Go package of its main function, as `go build` takes it.
        ldflags: for the linker, added to those that drop the symbols.
        version: what a program of this name on PATH must say it is to be taken instead; empty if none is.
        version_arguments: the arguments that make it say so.
    """

    name: str
    module: Path
    package: str = "."
    ldflags: str = ""
    version: str = ""
    version_arguments: tuple[str, ...] = ("--version",)

    @property
    def binary(self) -> str:
        """The file name that `go build` gives it: the last element of the package's path that is no major version."""
        path = self.package if self.package != "." else _module_path(self.module)
        return next(part for part in reversed(path.split("/")) if not re.fullmatch(r"v\d+", part))


@dataclass(frozen=True)
class Cost:
    """What a module takes when nothing of it is there yet: seconds on two cores, megabytes of the two Go caches."""

    seconds: int = 10
    module_megabytes: int = 100
    build_megabytes: int = 300


# By the name of the module's folder. Measured with Go 1.26, empty caches and two cores: seconds one module after the other,
# megabytes of the build cache as all of them together (8 GB), shared out by seconds. Only for Argo CD: seconds without
# the download of its modules, megabytes of the build cache as its packages take by themselves.
COSTS: Mapping[str, Cost] = {
    "kubernetes": Cost(440, 700, 3100),
    "istio": Cost(300, 700, 2200),
    "argocd": Cost(255, 1700, 2200),
    "pulumi": Cost(190, 1400, 1400),
    "kustomize": Cost(30, 100, 300),
    "coredns": Cost(80, 300, 600),
    "helm": Cost(70, 450, 500),
    "etcd": Cost(25, 300, 200),
}


@dataclass(frozen=True)
class Go:
    """The `go` command of this machine.

    Attributes:
        version: of Go, as in `go1.26.8`.
        architecture: that it builds for.
        build_cache: its GOCACHE.
        module_cache: its GOMODCACHE.
    """

    version: str
    architecture: str
    build_cache: Path
    module_cache: Path

    @classmethod
    def find(cls) -> Go:
        """Ask the `go` on PATH.

        Raises:
            PreparationError: there is none, or it does not work.
        """
        command = ["go", "env", "GOVERSION", "GOARCH", "GOCACHE", "GOMODCACHE"]
        try:
            # outside any module, so that none of them chooses another toolchain for the answer
            answer = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True, timeout=30)
        except (OSError, subprocess.SubprocessError) as error:
            raise PreparationError(
                f"`{' '.join(command)}` does not work ({error}): the lab builds its programs from Go modules. "
                "Install Go 1.26 or newer (https://go.dev/dl) and put its bin folder on PATH."
            ) from error
        version, architecture, build_cache, module_cache = answer.stdout.splitlines()
        return cls(version, architecture, Path(build_cache), Path(module_cache))


@dataclass
class _Build:
    """What one `go build` makes, and how far it is."""

    tools: Sequence[Tool]
    go: Go
    cache: Path
    stage: str = "waiting for another lab that makes it"
    total: int = 0
    compiled: int = 0

    @property
    def module(self) -> Path:
        return self.tools[0].module

    @property
    def name(self) -> str:
        return self.tools[0].name if len(self.tools) == 1 else self.module.name

    @property
    def cost(self) -> Cost:
        return COSTS.get(self.module.name, Cost())

    def progress(self) -> str:
        return self.stage.format(self)

    def make(self, children: Children) -> None:
        targets = {tool: location(tool, self.go, self.cache) for tool in self.tools}
        with making(self.cache / "tools", _key(self.tools[0], self.go), stop=children.stopped) as work:
            missing = [
                tool for tool, target in targets.items() if not target.exists()
            ]  # another lab may have made some
            if missing:
                self._compile(missing, work, children)
            for tool in missing:
                place_noted(work / tool.binary, targets[tool])

    def _compile(self, tools: Sequence[Tool], work: Path, children: Children) -> None:
        flags = [*_FLAGS, f"-ldflags={_linker_flags(tools[0])}"]
        packages = [tool.package for tool in tools]
        temporary = work / "go"
        temporary.mkdir()
        # GOFLAGS of the user (tags, -mod=mod) would change what is built without changing its key
        environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTMPDIR": str(temporary)}
        listing = ["go", "list", *flags, "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", *packages]
        building = ["go", "build", "-v", *flags, "-o", f"{work}/", *packages]
        try:
            self.stage = "downloading modules"
            children.run(listing, directory=self.module, environment=environment, progress=self._count_stale)
            self.stage = "{0.compiled} of {0.total} packages"
            children.run(building, directory=self.module, environment=environment, progress=self._count_compiled)
        except CommandFailedError as failure:
            raise PreparationError(
                f"{self.module}: {failure}:\n{failure.tail}\n"
                f"So there is no {', '.join(tool.name for tool in tools)}, and no lab. If these lines tell of a download, "
                "see that the Go module proxy can be reached (`go env GOPROXY`); if they tell of the Go version, install "
                "the one they name. Then run the same command again: what is compiled is kept."
            ) from failure

    def _count_stale(self, line: str) -> bool:
        self.total += _is_package(line)
        return _is_package(line) or line.startswith(_DOWNLOADING)

    def _count_compiled(self, line: str) -> bool:
        self.compiled += _is_package(line)
        return _is_package(line) or line.startswith(_DOWNLOADING)


def location(tool: Tool, go: Go, cache: Path) -> Path:
    """Where a tool is kept once it is built. The key holds all that its content depends on."""
    return cache / "tools" / _key(tool, go) / tool.name


def build(tools: Collection[Tool], go: Go, cache: Path, report: Report, jobs: int) -> None:
    """Build tools into their places in the cache, the modules that take longest first.

    Args:
        tools: what to build.
        go: the command that builds.
        cache: the root of the user's cache of the lab.
        report: gets a line at least every ten seconds.
        jobs: how many modules are built at a time; each keeps both of two cores busy for most of its time only.

    Raises:
        PreparationError: a build failed, or the disk is too small.
    """
    groups: defaultdict[str, list[Tool]] = defaultdict(list)
    for tool in tools:
        groups[_key(tool, go)].append(tool)
    builds = [_Build(group, go, cache) for group in groups.values()]
    builds.sort(key=lambda build: build.cost.seconds, reverse=True)
    check_disk(space_needed(tools, go, cache))
    report(f"building {', '.join(build.name for build in builds)} with {go.version}: the first time only")
    make_all(builds, report, jobs)


def space_needed(tools: Collection[Tool], go: Go, cache: Path) -> dict[Path, int]:
    """Megabytes that building these tools may add to each folder."""
    costs = [COSTS.get(name, Cost()) for name in {tool.module.name for tool in tools}]
    return {
        go.module_cache: sum(cost.module_megabytes for cost in costs),
        go.build_cache: sum(cost.build_megabytes for cost in costs),
        cache: 2 * _BINARY_MEGABYTES * len(tools),  # the linker's and the finished one
    }


def check_disk(needed: Mapping[Path, int], free: Callable[[Path], int] = free_bytes) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        needed: megabytes by folder; a folder need not be there yet.
        free: bytes that are free on the file system of a folder that is there.

    Raises:
        PreparationError: the folders of one file system together need more than it has.
    """
    for short in shortages({folder: megabytes * 1_000_000 for folder, megabytes in needed.items()}, free):
        raise PreparationError(
            f"{', '.join(map(str, short.folders))}: {short.free / 1e9:.1f} GB are free, {short.needed / 1e9:.1f} GB are needed "
            "to build what is missing; a build on a full disk ends half-way. Make room, or let GOMODCACHE, GOCACHE or "
            "XDG_CACHE_HOME name a folder on a larger disk."
        )


def _is_package(line: str) -> bool:
    return bool(line) and " " not in line


def _key(tool: Tool, go: Go) -> str:
    return key_of(go.version, go.architecture, *_FLAGS, _linker_flags(tool), *_sources(tool.module))


def _linker_flags(tool: Tool) -> str:
    return f"-s -w {tool.ldflags}".rstrip()


def _sources(module: Path) -> list[str]:
    """Names and contents of all files of a module that may take part in a build."""
    files = [path for path in sorted(module.rglob("*")) if path.is_file() and _is_source(path)]
    return [text for path in files for text in (str(path.relative_to(module)), path.read_text())]


def _is_source(file: Path) -> bool:
    # what somebody built by hand beside its sources is no source
    return not file.name.endswith("_test.go") and not file.stat().st_mode & 0o111


def _module_path(module: Path) -> str:
    found = re.search(r"^module\s+(\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise PreparationError(
            f"{module / 'go.mod'} names no module, so nothing can be built from it. Restore the file."
        )
    return found[1]
