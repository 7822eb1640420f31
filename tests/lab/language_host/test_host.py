from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from tests.lab.language_host.fake_pulumi import FakePulumi
from tests.lab.language_host.projects import run_request, write_program

LanguageRuntime = language_pb2_grpc.LanguageRuntimeStub


def test_required_packages_name_the_kubernetes_provider_once(host: LanguageRuntime) -> None:
    answer = host.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest())
    assert [(package.kind, package.name, package.version) for package in answer.packages] == [
        ("resource", "kubernetes", metadata.version("pulumi-kubernetes"))
    ]


def test_dependencies_name_the_sdk_with_its_version(host: LanguageRuntime) -> None:
    answer = host.GetProgramDependencies(language_pb2.GetProgramDependenciesRequest())
    assert {dependency.name: dependency.version for dependency in answer.dependencies}["pulumi"] == metadata.version(
        "pulumi"
    )


def test_about_names_the_interpreter(host: LanguageRuntime) -> None:
    assert host.About(language_pb2.AboutRequest()).executable == sys.executable


def test_missing_virtualenv_says_which_command_makes_it(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(tmp_path, "")
    tmp_path.joinpath(".venv").unlink()
    with pytest.raises(grpc.RpcError, match=r"names .*/\.venv, and .*python is not there: run `make`") as refused:
        host.Run(run_request(tmp_path, pulumi.address))
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
