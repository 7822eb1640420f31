"""Images are made once, whole or not at all, of exactly what they should hold; a fake `buildah` stands in for the real one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.build import images, versions
from lab.build.versions import argocd_version, istio_version
from lab.report import LabError

# Leaves an archive that lists the build context, or does $FAKE_BUILDAH.
FAKE_BUILDAH = """#!/bin/sh
echo "$*" >> "$FAKE_LOG"
eval "${FAKE_BUILDAH:-true}" || exit 125
for argument; do case $argument in oci-archive:*) archive=${argument#oci-archive:} ;; esac; context=$argument; done
(cd "$context" && ls -l) > "${archive%%:*}"
"""
FAKE_MMDEBSTRAP = """#!/bin/sh
echo "mmdebstrap $*" >> "$FAKE_LOG"
for argument; do case $argument in */root.tar) : > "$argument" ;; esac; done
"""
ECHO = ["registry.corp.local/echo:1.0.0", "registry.corp.local/echo:2.0.0"]
PROBE = "registry.corp.local/probe:1.0.0"
TOOLS = (
    "argocd",
    "kustomize",
    "pilot-agent",
    "pilot-discovery",
    "coredns",
    "pause",
    "probe",
    "echo-1.0.0",
    "echo-2.0.0",
)
SCRIPTS = ("entrypoint.sh", "gpg-wrapper.sh", "git-verify-wrapper.sh")


def said(_: str) -> None:
    """A report that nobody reads."""


def install(program: Path, script: str) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(script)
    program.chmod(0o755)


class Bench:
    """A machine with fake commands, and all that images are made of."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.cache = folder / "cache"
        self.app = folder / "app"
        self.template = folder / "envoy_bootstrap.json"
        self.scripts = tuple(folder / "scripts" / name for name in SCRIPTS)
        self.tools = {name: folder / "tools" / name for name in TOOLS}
        for name, file in self.tools.items():
            install(file, name)
        for script in self.scripts:
            install(script, "#!/bin/sh\n")
        for name in ("echo", "probe"):
            install(self.app / name / "Containerfile", "FROM scratch\n")
        self.template.write_text("{}")

    def images(self) -> dict[str, images.Image]:
        return {
            image.reference: image for image in images.lab_images(self.tools, images.Apps(ECHO, [], PROBE), self.cache)
        }

    def ensure(self, report: Callable[[str], None] = said) -> list[Path]:
        return images.ensure_images(self.tools, images.Apps(ECHO, [], PROBE), self.cache, report)

    def calls(self, word: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if word in line] if self.log.exists() else []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    programs = tmp_path / "bin"
    install(programs / "buildah", FAKE_BUILDAH)
    install(programs / "mmdebstrap", FAKE_MMDEBSTRAP)
    install(
        programs / "apt-config",
        "#!/bin/sh\necho 'Acquire::http::Proxy \"http://proxy:1\";'; echo 'APT::Other \"1\";'\n",
    )
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_LOG", str(bench.log))
    monkeypatch.setattr(images, "APP", bench.app)
    monkeypatch.setattr(images, "bootstrap_template", lambda _: bench.template)
    monkeypatch.setattr(images, "image_scripts", lambda _: bench.scripts)
    monkeypatch.setattr(images, "codename", lambda: "bookworm")
    monkeypatch.setattr(images, "_AUTHORITIES", bench.template)
    monkeypatch.setattr(images, "envoy", lambda: images.Part.of(bench.template))
    return bench


def test_images_are_made_once(bench: Bench) -> None:
    first = bench.ensure()
    assert all(archive.is_file() for archive in first)
    assert bench.ensure() == first
    assert len(bench.calls("oci-archive:")) == len(first)


def test_images_have_the_names_that_the_clusters_ask_for(bench: Bench) -> None:
    bench.ensure()
    tag = istio_version()
    for name in (
        *ECHO,
        PROBE,
        "localhost/pause:lab",
        "localhost/coredns:lab",
        "localhost/redis:lab",
        f"localhost/argocd:{argocd_version()}",
        f"localhost/pilot:{tag}",
        f"localhost/proxyv2:{tag}",
    ):
        assert len(bench.calls(f"image.tar:{name} ")) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_prometheus_is_made_where_a_region_has_one(bench: Bench, wanted: bool) -> None:
    images.ensure_images(bench.tools, images.Apps(ECHO, [], PROBE, wanted), bench.cache, said)
    assert len(bench.calls("image.tar:localhost/prometheus:lab ")) == wanted
    assert len([call for call in bench.calls("mmdebstrap") if "--include=prometheus " in call]) == wanted


def test_each_echo_image_holds_the_release_that_its_tag_names(bench: Bench) -> None:
    held = {name: bench.images()[name].parts["echo"].file.name for name in ECHO}
    assert held == {ECHO[0]: "echo-1.0.0", ECHO[1]: "echo-2.0.0"}


def test_committed_containerfile_makes_the_echo_image(bench: Bench) -> None:
    bench.ensure()
    (call,) = bench.calls(ECHO[0])
    assert f"--build-arg RELEASE=1.0.0 --file {bench.app}/echo/Containerfile " in call


def test_another_program_makes_another_image_and_leaves_the_rest(bench: Bench) -> None:
    before = {name: image.key for name, image in bench.images().items()}
    bench.tools["echo-2.0.0"].write_text("changed")
    after = {name: image.key for name, image in bench.images().items()}
    assert {name for name in after if after[name] != before[name]} == {ECHO[1]}


def test_another_script_makes_another_argo_cd(bench: Bench) -> None:
    before = bench.images()[versions.argocd_image()].key
    bench.scripts[1].write_text("#!/bin/sh\nexit 1\n")
    assert bench.images()[versions.argocd_image()].key != before


def test_committed_containerfiles_copy_all_that_their_images_are_made_of(bench: Bench) -> None:
    ours = [image for image in bench.images().values() if image.containerfile.parent == images._CONTAINERFILES]
    copied = {image.reference: copied_by(image.containerfile) for image in ours}
    assert copied == {image.reference: {*image.parts} | ({"root.tar"} if image.root else set()) for image in ours}


def copied_by(containerfile: Path) -> set[str]:
    lines = re.findall(r"^(?:COPY|ADD) (?:--\S+ )*(.*) \S+$", containerfile.read_text(), re.MULTILINE)
    return {name for line in lines for name in line.split()}


def test_another_containerfile_makes_another_image(bench: Bench) -> None:
    before = bench.images()[PROBE].key
    (bench.app / "probe" / "Containerfile").write_text("FROM scratch\nUSER 1\n")
    assert bench.images()[PROBE].key != before


def test_another_debian_release_makes_another_sidecar(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.images()[versions.istio_image("proxyv2")].key
    monkeypatch.setattr(images, "codename", lambda: "trixie")
    assert bench.images()[versions.istio_image("proxyv2")].key != before


def test_programs_can_be_run_by_any_user_of_the_image(bench: Bench) -> None:
    bench.tools["probe"].chmod(0o700)
    archives = dict(zip(bench.images(), bench.ensure(), strict=True))
    assert archives[PROBE].read_text().splitlines()[-1].startswith("-rwxr-xr-x ")


def test_sidecar_gets_a_debian_root_from_the_machine_s_own_apt(bench: Bench) -> None:
    bench.ensure()
    (call,) = bench.calls("--include=iptables,nftables ")
    assert call.startswith("mmdebstrap ")
    assert '--aptopt=Acquire::http::Proxy "http://proxy:1";' in call
    assert "APT::Other" not in call


def test_failed_image_leaves_nothing_and_tells_the_last_lines(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_BUILDAH", "echo 'Error: no space left on device'; false")
    with pytest.raises(LabError, match=r"(?s)image .* could not be made: .*  Error: no space left on device\n"):
        bench.ensure()
    assert [path.name for path in (bench.cache / "images").iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize(
    ("name", "text", "own"),
    [
        ("a.sources", "Types: deb\nURIs: http://a\nSuites: bookworm bookworm-updates\nComponents: main\n", True),
        ("a.sources", "Types: deb\nURIs: http://a\nSuites: bookworm-security\nComponents: main\n", True),
        ("a.sources", "Types: deb\nURIs: http://a\nSuites: nodistro\nComponents: main\n", False),
        ("a.list", "# comment\ndeb [signed-by=/k] http://a bookworm main contrib\n", True),
        ("a.list", "deb http://a cloud-sdk-bookworm main\n", False),
        ("a.list", "deb http://a bookworm-pgdg main\n", False),
        ("a.list", "deb http://docker bookworm stable\n", False),
        ("a.list", "# deb http://a bookworm main\n", False),
        ("a.list.save", "deb http://a bookworm main\n", False),
    ],
)
def test_sources_of_other_vendors_are_left_aside(tmp_path: Path, name: str, text: str, own: bool) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / name).write_text(text)
    assert images.own_sources(tmp_path, "bookworm") == ([folder / name] if own else [])


def test_envoy_is_the_one_in_the_wheel() -> None:
    part = images.envoy()
    assert part.file.stat().st_mode & 0o111
    assert part.file.read_bytes()[:4] == b"\x7fELF"
