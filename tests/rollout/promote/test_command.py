"""A command that must succeed before a step: what it is told, how it ends, and that nothing of it stays."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lab.machine.waiting import comes_true
from rollout.problem import RolloutError
from rollout.promote import command
from rollout.promote.command import run

# begun by the shell of the command: ends with its group alone
CHILD = "sleep 60 & echo $! > child; "


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "_LOOK_EVERY_SECONDS", 0.01)
    return tmp_path


def child_is_gone(here: Path) -> bool:
    """Whether the child is no process any more, or one that nobody has waited for."""
    pid = int((here / "child").read_text())
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def test_it_is_the_shells_and_finds_its_variables(here: Path) -> None:
    run('test -z "$(cat)" && echo "$WEIGHT" | tee weight', {"WEIGHT": "25"}, threading.Event())
    assert (here / "weight").read_text() == "25\n"


def test_what_it_prints_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    run("echo out; echo err >&2", {}, threading.Event())

    assert capfd.readouterr() == ("", "out\nerr\n")


def test_one_that_fails_is_told_with_its_exit_code() -> None:
    with pytest.raises(RolloutError, match="--before-step 'exit 7' failed with exit code 7"):
        run("exit 7", {}, threading.Event())


def test_one_that_takes_too_long_is_ended_with_all_that_it_began(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "WITHIN_SECONDS", 0.2)

    with pytest.raises(RolloutError, match="was not done within 0 s"):
        run(f"{CHILD} wait", {}, threading.Event())
    assert child_is_gone(here)


def test_one_that_does_not_listen_is_killed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "WITHIN_SECONDS", 0.2)
    monkeypatch.setattr(command, "_END_WITHIN_SECONDS", 0.2)

    with pytest.raises(RolloutError):
        run("trap '' TERM; sh -c 'echo $$ > child; while :; do sleep 0.1; done'", {}, threading.Event())
    assert child_is_gone(here)


def test_a_stop_ends_it(here: Path) -> None:
    stop = threading.Event()

    def written() -> None:
        assert comes_true(lambda: (here / "child").exists() and bool((here / "child").read_text()), 30)
        stop.set()

    threading.Thread(target=written, daemon=True).start()

    with pytest.raises(RolloutError, match="was stopped"):
        run(f"{CHILD} wait", {}, stop)
    assert child_is_gone(here)


def test_none_begins_after_a_stop(here: Path) -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(RolloutError, match="was stopped"):
        run("touch begun", {}, stop)
    assert not (here / "begun").exists()
