"""A command that must succeed before a step: what it is told, how it ends, and that nothing of it stays."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

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


def nothing() -> None:
    """Nothing is found meanwhile."""


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
    assert run('test -z "$(cat)" && echo "$WEIGHT" | tee weight', {"WEIGHT": "25"}, nothing) is None
    assert (here / "weight").read_text() == "25\n"


def test_what_it_prints_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    run("echo out; echo err >&2", {}, nothing)

    assert capfd.readouterr() == ("", "out\nerr\n")


def test_one_that_fails_is_told_with_its_exit_code() -> None:
    with pytest.raises(RolloutError, match="--before-step 'exit 7' failed with exit code 7"):
        run("exit 7", {}, nothing)


def test_one_that_takes_too_long_is_ended_with_all_that_it_began(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "WITHIN_SECONDS", 0.2)

    with pytest.raises(RolloutError, match="was not done within 0 s"):
        run(f"{CHILD} wait", {}, nothing)
    assert child_is_gone(here)


def test_one_that_does_not_listen_is_killed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "WITHIN_SECONDS", 0.2)
    monkeypatch.setattr(command, "_END_WITHIN_SECONDS", 0.2)

    with pytest.raises(RolloutError):
        run("trap '' TERM; sh -c 'echo $$ > child; while :; do sleep 0.1; done'", {}, nothing)
    assert child_is_gone(here)


def test_what_is_found_meanwhile_ends_it(here: Path) -> None:
    def found() -> str | None:
        return "a doubt" if (here / "child").exists() and (here / "child").read_text() else None

    assert run(f"{CHILD} wait", {}, found) == "a doubt"
    assert child_is_gone(here)


def test_an_interruption_ends_it(here: Path) -> None:
    def interrupted() -> None:
        if (here / "child").exists() and (here / "child").read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(f"{CHILD} wait", {}, interrupted)
    assert child_is_gone(here)
