"""Debian packages: one careful call of apt, and only when something is missing; a fake `apt-get` stands in for the real one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.machine import debian
from lab.report import LabError

# Notes its arguments; `install` does $FAKE_INSTALL with dpkg's own PATH.
FAKE_APT = """#!/bin/sh
echo "$*" >> "$FAKE_LOG"
[ "$1" = install ] || exit 100
for argument; do case $argument in DPkg::Path=*) PATH=${argument#DPkg::Path=} ;; esac; done
eval "$FAKE_INSTALL"
"""


def install(program: Path, script: str) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(script)
    program.chmod(0o755)


def said(_: str) -> None:
    """A report that nobody reads."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that lacks the package `gadget`, has apt, and is used by root. The folder is on PATH."""
    folder = tmp_path / "bin"
    install(folder / "apt-get", FAKE_APT)
    install(folder / "present", "#!/bin/sh\n")
    monkeypatch.setattr(debian, "PACKAGES", {"here": ("present",), "gadget": ("gadget", f"{tmp_path}/gadget.conf")})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "apt.log"))
    monkeypatch.setenv(
        "FAKE_INSTALL",
        f"printf '#!/bin/sh\\n' > {folder}/gadget; chmod 755 {folder}/gadget; : > {tmp_path}/gadget.conf",
    )
    return folder


def calls(machine: Path) -> list[str]:
    log = machine.parent / "apt.log"
    return log.read_text().splitlines() if log.exists() else []


def test_package_is_missing_if_any_of_its_things_is(machine: Path) -> None:
    install(machine / "gadget", "#!/bin/sh\n")
    assert debian.missing_packages() == ["gadget"]
    (machine.parent / "gadget.conf").touch()
    assert debian.missing_packages() == []


def test_nothing_is_run_when_all_is_there(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "PACKAGES", {"here": ("present",)})
    debian.ensure_packages(said)
    assert calls(machine) == []


def test_only_what_is_missing_is_installed_and_nothing_is_removed(machine: Path) -> None:
    lines: list[str] = []
    debian.ensure_packages(lines.append)
    (call,) = [call for call in calls(machine) if call.startswith("install ")]
    assert call.endswith(" gadget")
    assert " here" not in call
    assert {"--no-remove", "--no-install-recommends", "DPkg::Lock::Timeout=300"} <= set(call.split())
    assert lines == ["installing the Debian packages gadget (no service is started)"]


def test_lists_that_cannot_be_renewed_do_not_stop_the_installation(machine: Path) -> None:
    debian.ensure_packages(said)  # the fake's `update` fails
    assert calls(machine)[0] == "update"
    assert debian.missing_packages() == []


@pytest.mark.parametrize("command", ["systemctl", "deb-systemd-invoke", "invoke-rc.d", "service"])
def test_no_service_can_be_started_by_a_package(machine: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    install(machine / command, f"#!/bin/sh\n: > {machine}/started\n")
    monkeypatch.setattr(debian, "_SYSTEM_PATH", f"{machine}:{debian._SYSTEM_PATH}")
    monkeypatch.setenv("FAKE_INSTALL", f"{command} start gadget; {os.environ['FAKE_INSTALL']}")
    debian.ensure_packages(said)
    assert not (machine / "started").exists()


def test_nothing_temporary_is_left(machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    debian.ensure_packages(said)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_failure_tells_apt_s_last_lines(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_INSTALL", "echo 'E: Packages need to be removed but remove is disabled.'; exit 100")
    with pytest.raises(LabError, match=r"code 100:\n(.*\n)*  E: Packages need to be removed"):
        debian.ensure_packages(said)


def test_package_that_brings_not_what_it_should_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_INSTALL", "true")
    with pytest.raises(LabError, match="what gadget should bring is not there"):
        debian.ensure_packages(said)


def test_user_who_is_not_root_is_told_what_to_install(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"Only root .*`apt-get install gadget`"):
        debian.ensure_packages(said)
    assert calls(machine) == []


def test_machine_without_apt_is_told_what_is_missing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine))
    (machine / "apt-get").unlink()
    with pytest.raises(LabError, match=r"missing: gadget\. .*no apt-get here"):
        debian.ensure_packages(said)
