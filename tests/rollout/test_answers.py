"""What is asked side by side, and what nobody waits for any more."""

from __future__ import annotations

import subprocess
import sys
import threading
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from lab.machine.waiting import comes_true
from rollout.answers import ask_all, await_all, stop_of_this_work, stopped_by
from rollout.git.command import KilledError, git

PATIENCE_SECONDS = 60.0


def test_answers_come_in_the_order_of_what_is_asked() -> None:
    others = threading.Event()

    def ask(number: int) -> int:
        # the first one answers last
        others.set() if number == 2 else others.wait(PATIENCE_SECONDS)
        return number

    answers = ask_all(ask, [0, 1, 2])
    await_all(answers)

    assert [each.result() for each in answers] == [0, 1, 2]


def test_no_more_are_asked_at_once_than_may_be() -> None:
    answers = ask_all(lambda _: threading.current_thread(), range(200), most_at_once=2)
    await_all(answers)

    assert len({each.result() for each in answers}) <= 2


def test_one_that_fails_keeps_no_other_from_its_answer() -> None:
    def ask(number: int) -> int:
        return 6 // number

    first, second = ask_all(ask, [0, 2], most_at_once=1)
    await_all([first, second])

    assert isinstance(first.exception(), ZeroDivisionError)
    assert second.result() == 3


def test_a_process_ends_although_something_that_it_asked_hangs() -> None:
    program = "import threading\nfrom rollout.answers import ask_all\nask_all(lambda _: threading.Event().wait(), [1])"

    assert subprocess.run([sys.executable, "-c", program], timeout=PATIENCE_SECONDS, check=False).returncode == 0


def test_what_stops_some_work_stops_all_that_it_asks() -> None:
    stop = threading.Event()
    with stopped_by(stop):
        (inside,) = ask_all(lambda _: stop_of_this_work(), [1])
    (outside,) = ask_all(lambda _: stop_of_this_work(), [1])

    assert inside.result(PATIENCE_SECONDS) is stop
    assert outside.result(PATIENCE_SECONDS) is not stop


class TestGit:
    def begun(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A git that says by a file that it has begun, and hangs."""
        program, begun = tmp_path / "git", tmp_path / "begun"
        program.write_text(f"#!/bin/sh\ntouch {begun}\nexec sleep 3600\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return begun

    def test_is_ended_when_nobody_waits_for_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        begun, stop = self.begun(tmp_path, monkeypatch), threading.Event()
        with stopped_by(stop):
            (answer,) = ask_all(lambda _: git(tmp_path, "fetch", why="a test"), [1])
        assert comes_true(begun.exists, PATIENCE_SECONDS)
        stop.set()

        with pytest.raises(KilledError):
            answer.result(PATIENCE_SECONDS)

    def test_gets_what_it_is_given_however_long_it_takes_to_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, looks, communicate = self.begun(tmp_path, monkeypatch), count(1), subprocess.Popen.communicate
        (tmp_path / "git").write_text(f"#!/bin/sh\nwhile ! test -e {begun}; do sleep 0.1; done\nexec wc -c\n")

        def looked(process: subprocess.Popen[bytes], **options: Any) -> tuple[bytes, bytes]:
            # it reads once its end was looked for several times
            if next(looks) == 3:
                begun.touch()
            return communicate(process, **options)

        monkeypatch.setattr(subprocess.Popen, "communicate", looked)

        assert git(tmp_path, "cat-file", why="a test", given=b"x" * 1_000_000).stdout.strip() == "1000000"

    def test_does_not_begin_when_nobody_waits_for_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        begun, stop = self.begun(tmp_path, monkeypatch), threading.Event()
        stop.set()

        with stopped_by(stop), pytest.raises(KilledError):
            git(tmp_path, "push", why="a test")
        assert not begun.exists()
