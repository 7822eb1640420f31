from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from lab.plugins.language.host import NOTICE
from tests.plugins.language.projects import program_info, write_program

LanguageRuntime = language_pb2_grpc.LanguageRuntimeStub


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_program(tmp_path, "")
    return tmp_path


def test_plugin_version_says_that_it_is_a_stand_in(host: LanguageRuntime) -> None:
    assert host.GetPluginInfo(empty_pb2.Empty()).version.endswith("-standin")


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("Handshake", language_pb2.LanguageHandshakeRequest()),
        ("GetRequiredPlugins", language_pb2.GetRequiredPluginsRequest()),
        ("Template", language_pb2.TemplateRequest()),
        ("GenerateProgram", language_pb2.GenerateProgramRequest()),
        ("GenerateProject", language_pb2.GenerateProjectRequest()),
        ("GeneratePackage", language_pb2.GeneratePackageRequest()),
        ("Pack", language_pb2.PackRequest()),
        ("Link", language_pb2.LinkRequest()),
    ],
)
def test_call_that_is_not_served_is_refused_by_name(host: LanguageRuntime, call: str, request_: object) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        getattr(host, call)(request_)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert f"does not serve {call}," in refused.value.details()


def test_required_packages_name_the_kubernetes_provider_that_is_installed(host: LanguageRuntime, project: Path) -> None:
    answer = host.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest(info=program_info(project)))
    assert [(package.kind, package.name, package.version) for package in answer.packages] == [
        ("resource", "kubernetes", "v4.34.2")
    ]


def test_unusable_options_end_the_call_with_their_message(host: LanguageRuntime, project: Path) -> None:
    info = program_info(project, toolchain="poetry", virtualenv=".venv")
    with pytest.raises(grpc.RpcError, match="toolchain is 'poetry'") as refused:
        host.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest(info=info))
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("transitive", [True, False])
def test_dependencies_hold_what_others_need_only_on_request(
    host: LanguageRuntime, project: Path, transitive: bool
) -> None:
    request = language_pb2.GetProgramDependenciesRequest(info=program_info(project), transitiveDependencies=transitive)
    names = [dependency.name for dependency in host.GetProgramDependencies(request).dependencies]
    assert names
    assert ("grpcio" in names) is transitive


def test_about_names_the_virtualenvs_interpreter(host: LanguageRuntime, project: Path) -> None:
    answer = host.About(language_pb2.AboutRequest(info=program_info(project)))
    assert answer.executable == str(project / ".venv" / "bin" / "python")


def test_user_is_told_of_the_stand_in_on_stderr(
    host: LanguageRuntime, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host.About(language_pb2.AboutRequest(info=program_info(project)))
    assert capsys.readouterr() == ("", f"{NOTICE}\n")


def test_install_leaves_the_work_to_make(host: LanguageRuntime, project: Path) -> None:
    request = language_pb2.InstallDependenciesRequest(info=program_info(project))
    (answer,) = host.InstallDependencies(request)
    assert b"`make` installs" in answer.stdout


def test_no_options_are_asked_for(host: LanguageRuntime, project: Path) -> None:
    assert not host.RuntimeOptionsPrompts(language_pb2.RuntimeOptionsRequest(info=program_info(project))).prompts
