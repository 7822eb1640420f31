from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2_grpc

from tests.lab.language_host.fake_pulumi import FakePulumi
from tests.lab.language_host.projects import ended, run_request, write_program

COMMAND = [sys.executable, "-m", "lab.language_host"]
CHECKOUT = Path(__file__).resolve().parents[3]
SECONDS = 10


@pytest.fixture
def process(pulumi: FakePulumi) -> Iterator[subprocess.Popen[str]]:
    """The host as the engine starts it: a process group of its own, and a standard input that the engine holds."""
    with subprocess.Popen(
        [*COMMAND, "--logtostderr", pulumi.address],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def connected(process: subprocess.Popen[str]) -> Iterator[language_pb2_grpc.LanguageRuntimeStub]:
    assert process.stdout is not None
    with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
        yield language_pb2_grpc.LanguageRuntimeStub(channel)


def test_first_line_is_the_port_that_is_served(process: subprocess.Popen[str]) -> None:
    with connected(process) as host:
        host.GetPluginInfo(empty_pb2.Empty(), timeout=SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_signal_ends_the_host_without_a_word(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with connected(process) as host:
        host.GetPluginInfo(empty_pb2.Empty())
        process.send_signal(number)
        output, _ = process.communicate(timeout=SECONDS)
    assert (process.returncode, output) == (0, "")


def test_program_cannot_read_what_the_engine_says_to_the_host(
    process: subprocess.Popen[str], pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(tmp_path, "import sys\nimport pulumi\npulumi.log.info(repr(sys.stdin.read()))")
    with connected(process) as host:
        running = host.Run.future(run_request(tmp_path, pulumi.address))
        assert pulumi.logs.get(timeout=SECONDS) == ("INFO", "''")
        running.cancel()


def test_engine_that_goes_away_leaves_no_process_behind(
    process: subprocess.Popen[str], pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(
        tmp_path,
        """
        import os
        import subprocess
        import time
        import pulumi

        started = subprocess.Popen(["sleep", "60"])
        pulumi.log.info(f"{os.getpid()} {started.pid}")
        time.sleep(60)
        """,
    )
    assert process.stdin is not None
    with connected(process) as host:
        running = host.Run.future(run_request(tmp_path, pulumi.address))
        pids = [process.pid, *map(int, pulumi.logs.get(timeout=SECONDS)[1].split())]
        process.stdin.close()
        assert [ended(pid, timeout=SECONDS) for pid in pids] == [True, True, True]
        running.cancel()


def test_program_that_ignores_interrupts_does_not_outlive_the_engine(
    process: subprocess.Popen[str], pulumi: FakePulumi, tmp_path: Path
) -> None:
    write_program(
        tmp_path,
        """
        import os
        import signal
        import pulumi

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        pulumi.log.info(str(os.getpid()))
        signal.pause()
        """,
    )
    assert process.stdin is not None
    with connected(process) as host:
        running = host.Run.future(run_request(tmp_path, pulumi.address))
        program = int(pulumi.logs.get(timeout=SECONDS)[1])
        process.stdin.close()
        assert ended(program, timeout=SECONDS)
        running.cancel()


def test_missing_engine_address_is_an_error_that_says_what_starts_it() -> None:
    ran = subprocess.run(COMMAND, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "run the pulumi command" in ran.stderr
