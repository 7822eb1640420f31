"""A process is known by its cgroup and its words: a reused id must not be taken for ours, nor ours be overlooked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from lab.machine import cgroups, processes


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "300"]) as process:
        while not processes.command_line(process.pid):  # the kernel shows it a moment after exec
            pass
        monkeypatch.setattr(cgroups, "members", lambda _: {process.pid, os.getpid()})
        yield process
        process.kill()


def test_a_process_is_found_by_its_exact_command_line(sleeper: subprocess.Popen[bytes]) -> None:
    assert processes.find("any", ["sleep", "300"]) == sleeper.pid


@pytest.mark.usefixtures("sleeper")
def test_another_argument_is_another_process() -> None:
    assert processes.find("any", ["sleep", "301"]) is None


def test_the_same_program_with_other_arguments_is_a_namesake(sleeper: subprocess.Popen[bytes]) -> None:
    assert processes.namesakes("any", ["/usr/bin/sleep", "301"]) == [sleeper.pid]


def test_a_stopped_process_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    processes.stop(sleeper.pid)
    assert processes.command_line(sleeper.pid) == []


def test_a_process_that_ignores_the_question_is_killed() -> None:
    deaf = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"]
    with subprocess.Popen(deaf, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"deaf\n"
        processes.stop(process.pid, grace_seconds=0.2)
        assert processes.command_line(process.pid) == []
