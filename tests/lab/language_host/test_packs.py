from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, language_pb2, language_pb2_grpc

from tests.lab.language_host.projects import ended, program_info, write_program

LanguageRuntime = language_pb2_grpc.LanguageRuntimeStub
SECONDS = 30
PACK = """
    import json, os
    import pulumi
    from pulumi_policy import PolicyPack, StackValidationPolicy

    def tell(args, report):
        config = pulumi.Config("test")
        said = [os.getcwd(), os.environ["PACK_SETS"], pulumi.get_stack(), config.get("key"), dict(args.stack_tags)]
        report(json.dumps(said), None)

    PolicyPack("pack", [StackValidationPolicy("told", "What is told.", tell)])
"""
STACK = analyzer_pb2.AnalyzerStackConfigureRequest(
    stack="region-a", project="test", organization="organization", config={"test:key": "value"}, tags={"owner": "us"}
)


def run(host: LanguageRuntime, pack: Path) -> Any:
    return host.RunPlugin(
        language_pb2.RunPluginRequest(
            pwd="/",
            kind="analyzer",
            args=["127.0.0.1:1"],
            env=["PATH=/usr/bin", "PACK_SETS=this=that"],
            info=program_info(pack),
        ),
        timeout=SECONDS,
    )


@contextmanager
def engine_at(answers: Any) -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    """What the engine talks to, once the host has told it where."""
    with grpc.insecure_channel(f"127.0.0.1:{int(next(answers).stdout)}") as channel:
        yield analyzer_pb2_grpc.AnalyzerStub(channel)


def test_policy_is_told_the_stack_in_the_packs_own_folder_and_environment(
    host: LanguageRuntime, tmp_path: Path
) -> None:
    write_program(tmp_path, PACK)
    with engine_at(run(host, tmp_path)) as pack:
        pack.Handshake(analyzer_pb2.AnalyzerHandshakeRequest(), timeout=SECONDS)
        pack.ConfigureStack(STACK, timeout=SECONDS)
        (told,) = pack.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(), timeout=SECONDS).diagnostics
    assert json.loads(told.message.split("\n")[1]) == [str(tmp_path), "this=that", "region-a", "value", {"owner": "us"}]


def test_pack_without_a_stack_is_asked_all_the_same(host: LanguageRuntime, tmp_path: Path) -> None:
    write_program(tmp_path, PACK)
    with engine_at(run(host, tmp_path)) as pack:
        assert pack.GetAnalyzerInfo(empty_pb2.Empty(), timeout=SECONDS).name == "pack"


def test_what_the_pack_refuses_is_refused(host: LanguageRuntime, tmp_path: Path) -> None:
    write_program(tmp_path, PACK)
    with engine_at(run(host, tmp_path)) as pack, pytest.raises(grpc.RpcError) as refused:
        pack.Cancel(empty_pb2.Empty(), timeout=SECONDS)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_message_larger_than_grpcs_default_reaches_the_pack(host: LanguageRuntime, tmp_path: Path) -> None:
    write_program(tmp_path, PACK)
    resource = analyzer_pb2.AnalyzerResource(urn="urn:pulumi:region-a::test::a:b:C::d", name="d" * 5 * 1024 * 1024)
    with engine_at(run(host, tmp_path)) as pack:
        pack.ConfigureStack(STACK, timeout=SECONDS)
        answer = pack.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=[resource]), timeout=SECONDS)
    assert len(answer.diagnostics) == 1


def test_output_errors_and_exit_code_are_passed_on_and_the_engine_is_not_kept_waiting(
    host: LanguageRuntime, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_program(tmp_path, "import os, sys\nprint('first')\nos.close(1)\nprint('wrong', file=sys.stderr)\nsys.exit(4)")
    answers = run(host, tmp_path)
    with engine_at(answers) as pack:
        with pytest.raises(grpc.RpcError, match="ended before it could be asked"):
            pack.GetAnalyzerInfo(empty_pb2.Empty(), timeout=SECONDS)
        said = list(answers)
    assert [(answer.stdout, answer.exitcode) for answer in said] == [(b"first\n", 0), (b"", 4)]
    assert "wrong\n" in capfd.readouterr().err


def test_pack_ends_with_its_call(host: LanguageRuntime, tmp_path: Path) -> None:
    write_program(tmp_path, f"import os\nprint('pack', os.getpid())\n{dedent(PACK)}")
    answers = run(host, tmp_path)
    with engine_at(answers) as pack:
        pack.GetAnalyzerInfo(empty_pb2.Empty(), timeout=SECONDS)
        started = int(next(answers).stdout.split()[1])
        answers.cancel()
        assert ended(started, timeout=SECONDS)
