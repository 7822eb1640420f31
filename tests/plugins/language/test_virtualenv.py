from __future__ import annotations

import json
import venv
from pathlib import Path

import pytest

from lab.plugins.language.virtualenv import Distribution, Virtualenv, VirtualenvError

CHECKOUT = str(Path(__file__).resolve().parents[3])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose .venv has nothing installed."""
    venv.create(tmp_path / ".venv", with_pip=False, symlinks=True)
    return tmp_path


def site_packages(project: Path) -> Path:
    (found,) = (project / ".venv" / "lib").glob("python*/site-packages")
    return found


def install(packages: Path, name: str, version: str, *, requires: str = "", plugin: object = None) -> None:
    about = packages / f"{name}-{version}.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}\n")
    if plugin is not None:
        description = packages / name / "pulumi-plugin.json"
        description.parent.mkdir()
        description.write_text(json.dumps(plugin))


def test_virtualenv_is_relative_to_the_project(project: Path) -> None:
    assert Virtualenv.of(project, {"virtualenv": ".venv"}).python == project / ".venv" / "bin" / "python"


def test_virtualenv_above_the_project_has_a_plain_path(project: Path) -> None:
    (project / "policies").mkdir()
    assert Virtualenv.of(project / "policies", {"virtualenv": "../.venv"}).directory == project / ".venv"


def test_unknown_option_is_refused_by_name(project: Path) -> None:
    with pytest.raises(VirtualenvError, match=r"runtime\.options\.typechecker is not known"):
        Virtualenv.of(project, {"virtualenv": ".venv", "typechecker": "mypy"})


def test_toolchain_other_than_pip_is_refused_with_its_value(project: Path) -> None:
    with pytest.raises(VirtualenvError, match="toolchain is 'uv'"):
        Virtualenv.of(project, {"virtualenv": ".venv", "toolchain": "uv"})


def test_project_without_virtualenv_is_refused(project: Path) -> None:
    with pytest.raises(VirtualenvError, match="virtualenv names no directory"):
        Virtualenv.of(project, {"toolchain": "pip"})


def test_missing_virtualenv_says_which_command_makes_it(project: Path) -> None:
    with pytest.raises(VirtualenvError, match=r"no .*/venv/bin/python, .* run `make`"):
        Virtualenv.of(project, {"virtualenv": "venv"})


def test_program_does_not_get_the_hosts_own_import_path() -> None:
    active = Virtualenv(Path("/p/.venv")).environment({"PYTHONPATH": f"{CHECKOUT}:/theirs", "PYTHONHOME": "/x"})
    assert active == {"PYTHONPATH": "/theirs", "PATH": "/p/.venv/bin", "VIRTUAL_ENV": "/p/.venv"}


def test_import_path_of_only_the_host_is_unset() -> None:
    assert "PYTHONPATH" not in Virtualenv(Path("/p/.venv")).environment({"PYTHONPATH": CHECKOUT})


def test_commands_of_the_virtualenv_come_first() -> None:
    assert Virtualenv(Path("/p/.venv")).environment({"PATH": "/usr/bin"})["PATH"] == "/p/.venv/bin:/usr/bin"


def test_inventory_lists_packages_by_normalised_name_with_their_plugins(project: Path) -> None:
    install(site_packages(project), "pulumi", "3.272.0")
    install(site_packages(project), "My_Provider", "1.0", plugin={"resource": True})
    assert Virtualenv.of(project, {"virtualenv": ".venv"}).inventory().distributions == (
        Distribution("my-provider", "1.0", {"resource": True}, required=False),
        Distribution("pulumi", "3.272.0", None, required=False),
    )


def test_package_that_another_one_needs_is_marked(project: Path) -> None:
    install(site_packages(project), "pulumi", "3.272.0")
    install(
        site_packages(project),
        "mine",
        "1.0",
        requires='Requires-Dist: Pulumi>=3\nRequires-Dist: mine-extra; extra == "more"',
    )
    install(site_packages(project), "mine_extra", "1.0")
    found = Virtualenv.of(project, {"virtualenv": ".venv"}).inventory().distributions
    assert [distribution.name for distribution in found if distribution.required] == ["pulumi"]


def test_package_installed_twice_has_the_version_that_is_imported(project: Path) -> None:
    install(site_packages(project), "pulumi", "3.272.0")
    install(project / "later", "pulumi", "3.0.0")
    (site_packages(project) / "later.pth").write_text(str(project / "later"))
    (found,) = Virtualenv.of(project, {"virtualenv": ".venv"}).inventory().distributions
    assert found.version == "3.272.0"


def test_virtualenv_without_the_sdk_is_refused(project: Path) -> None:
    with pytest.raises(VirtualenvError, match="no package pulumi"):
        Virtualenv.of(project, {"virtualenv": ".venv"}).inventory()


def test_broken_interpreter_is_shown_with_what_it_said(project: Path) -> None:
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.write_text("#!/bin/sh\necho no libpython >&2\nexit 127\n")
    python.chmod(0o755)
    with pytest.raises(VirtualenvError, match=r"ended with 127(.|\n)*no libpython"):
        Virtualenv.of(project, {"virtualenv": ".venv"}).inventory()
