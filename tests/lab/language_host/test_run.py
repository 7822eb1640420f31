from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2_grpc

from tests.lab.language_host.fake_pulumi import FakePulumi
from tests.lab.language_host.projects import run_request, write_program

LanguageRuntime = language_pb2_grpc.LanguageRuntimeStub
SECONDS = 10
"""How long a test waits for something that should come at once."""
HANGS = """
    import contextvars
    import threading
    import time
    import pulumi

    # said by another thread, so that an interrupt finds this one asleep and not inside gRPC, which can swallow it
    say_ready = threading.Thread(target=contextvars.copy_context().run, args=(pulumi.log.info, "ready"))
    try:
        say_ready.start()
        time.sleep(60)
    finally:
        pulumi.log.info("cleaned up")
"""


def test_program_gets_stack_settings_and_configuration(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(
        tmp_path,
        """
        import os
        import sys
        import pulumi

        config = pulumi.Config()
        pulumi.export("stack", [pulumi.get_organization(), pulumi.get_project(), pulumi.get_stack()])
        pulumi.export("dry run", pulumi.runtime.is_dry_run())
        pulumi.export("echo", config.require_object("echo"))
        pulumi.export("secret", pulumi.runtime.is_config_secret("test:token"))
        pulumi.export("directory", os.getcwd())
        pulumi.export("arguments", sys.argv)
        """,
    )
    request = run_request(tmp_path, pulumi.address)
    request.dryRun = True
    request.config.update({"test:echo": '{"weight": 90}', "test:token": "hidden"})
    request.configSecretKeys.append("test:token")
    request.args.append("one")
    answer = host.Run(request)
    assert (answer.error, answer.bail) == ("", False)
    assert pulumi.outputs == {
        "stack": ["organization", "test", "region-a"],
        "dry run": True,
        "echo": {"weight": 90},
        "secret": True,
        "directory": str(tmp_path),
        "arguments": [".", "one"],
    }


def test_program_imports_its_own_modules_and_not_the_hosts(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path
) -> None:
    tmp_path.joinpath("components.py").write_text("value = 1")
    write_program(
        tmp_path,
        """
        import importlib.util
        import pulumi
        import components

        pulumi.export("found", [components.value, importlib.util.find_spec("inventory") is not None])
        """,
    )
    host.Run(run_request(tmp_path, pulumi.address))
    assert pulumi.outputs == {"found": [1, False]}


def test_what_the_program_prints_reaches_the_hosts_own_streams(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_program(tmp_path, "import sys\nprint('out')\nprint('err', file=sys.stderr)")
    host.Run(run_request(tmp_path, pulumi.address))
    assert capfd.readouterr() == ("out\n", "err\n")


def test_output_is_shown_while_the_program_still_runs(
    host: LanguageRuntime,
    pulumi: FakePulumi,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    write_program(tmp_path, "import time\nprint('out')\ntime.sleep(60)")
    running = host.Run.future(run_request(tmp_path, pulumi.address))
    shown, deadline = "", time.monotonic() + SECONDS
    while not shown and time.monotonic() < deadline:
        time.sleep(0.05)
        shown = capfd.readouterr().out
    running.cancel()
    assert shown == "out\n"


def test_exception_is_one_error_with_the_programs_own_traceback(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(tmp_path, "def fail():\n    raise ValueError('boom')\nfail()\n")
    answer = host.Run(run_request(tmp_path, pulumi.address))
    assert (answer.error, answer.bail) == ("", True)
    assert list(pulumi.logs.queue) == [
        (
            "ERROR",
            "Program failed with an unhandled exception:\n"
            "Traceback (most recent call last):\n"
            f'  File "{tmp_path}/__main__.py", line 3, in <module>\n'
            "    fail()\n"
            f'  File "{tmp_path}/__main__.py", line 2, in fail\n'
            "    raise ValueError('boom')\n"
            "ValueError: boom\n",
        )
    ]


def test_exception_behind_an_output_is_one_error_with_its_traceback(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(
        tmp_path,
        """
        import pulumi

        pulumi.export("never", pulumi.Output.from_input(0).apply(lambda zero: 1 / zero))
        """,
    )
    answer = host.Run(run_request(tmp_path, pulumi.address))
    assert (answer.error, answer.bail) == ("", True)
    ((severity, message),) = pulumi.logs.queue
    assert severity == "ERROR"
    assert f'File "{tmp_path}/__main__.py", line 4, in <lambda>' in message


def test_program_that_is_no_python_is_one_error_without_traceback(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(tmp_path, "x = = 1\n")
    host.Run(run_request(tmp_path, pulumi.address))
    ((_, message),) = pulumi.logs.queue
    assert f'{tmp_path}/__main__.py", line 1' in message
    assert "Traceback" not in message


def test_run_error_is_shown_as_it_is(host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path) -> None:
    write_program(tmp_path, "import pulumi\nraise pulumi.RunError('set the region')")
    answer = host.Run(run_request(tmp_path, pulumi.address))
    assert answer.bail
    assert list(pulumi.logs.queue) == [("ERROR", "set the region")]


def test_exit_without_a_reason_is_an_error_with_the_code(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(tmp_path, "import os\nos._exit(5)")
    answer = host.Run(run_request(tmp_path, pulumi.address))
    assert not answer.bail
    assert "ended with exit code 5" in answer.error


def test_killed_program_is_an_error_with_the_signal(host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path) -> None:
    write_program(tmp_path, f"import os\nos.kill(os.getpid(), {int(signal.SIGKILL)})")
    assert "was ended by SIGKILL" in host.Run(run_request(tmp_path, pulumi.address)).error


def test_cancel_interrupts_the_program_and_reports_nothing_more(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(tmp_path, HANGS)
    running = host.Run.future(run_request(tmp_path, pulumi.address))
    assert pulumi.logs.get(timeout=SECONDS) == ("INFO", "ready")
    host.Cancel(empty_pb2.Empty())
    assert running.result(timeout=SECONDS).bail
    assert list(pulumi.logs.queue) == [("INFO", "cleaned up")]


def test_cancelled_call_interrupts_the_program(host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path) -> None:
    write_program(tmp_path, HANGS)
    running = host.Run.future(run_request(tmp_path, pulumi.address))
    assert pulumi.logs.get(timeout=SECONDS) == ("INFO", "ready")
    running.cancel()
    assert pulumi.logs.get(timeout=SECONDS) == ("INFO", "cleaned up")


def test_interrupt_while_outputs_are_awaited_ends_the_program_without_a_word(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_program(
        tmp_path,
        """
        import asyncio
        import pulumi

        async def never() -> None:
            pulumi.log.info("ready")
            await asyncio.sleep(60)

        pulumi.export("never", pulumi.Output.from_input(never()))
        """,
    )
    running = host.Run.future(run_request(tmp_path, pulumi.address))
    assert pulumi.logs.get(timeout=SECONDS) == ("INFO", "ready")
    host.Cancel(empty_pb2.Empty())
    assert running.result(timeout=SECONDS).bail
    assert capfd.readouterr() == ("", "")


def test_second_interrupt_does_not_disturb_the_programs_cleaning_up(
    host: LanguageRuntime, pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(
        tmp_path,
        """
        import os
        import signal
        import pulumi

        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            pulumi.log.info("cleaned up")
        """,
    )
    host.Run(run_request(tmp_path, pulumi.address))
    assert list(pulumi.logs.queue) == [("INFO", "cleaned up")]
