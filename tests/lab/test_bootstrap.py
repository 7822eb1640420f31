"""`.venv` is made anew where it must be, and never where somebody else made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import bootstrap
from lab.bootstrap import ensure
from lab.report import LabError


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Environments that were made, each when it was."""
    calls: list[Path] = []

    def make() -> None:
        calls.append(bootstrap.ENVIRONMENT)
        bootstrap.ENVIRONMENT.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(bootstrap, "_make_environment", make)
    monkeypatch.setattr(bootstrap, "_pip", lambda *_: None)
    _place(monkeypatch, tmp_path / "checkout")
    return calls


def _place(monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
    checkout.mkdir(exist_ok=True)
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", checkout / ".venv")
    monkeypatch.setattr(bootstrap, "_LOCK", checkout / ".venv.lock")


def test_a_second_call_makes_nothing(made: list[Path]) -> None:
    ensure()
    ensure()
    assert len(made) == 1


def test_an_environment_of_somebody_else_is_refused_however_often(made: list[Path]) -> None:
    (bootstrap.ENVIRONMENT / "bin").mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(LabError, match="somebody else made it"):
            ensure()
    assert made == []


def test_an_environment_whose_making_was_cut_short_is_made_anew(
    made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_pip", _killed)
    with pytest.raises(KeyboardInterrupt):
        ensure()
    (bootstrap.ENVIRONMENT / "made-by").unlink()
    monkeypatch.setattr(bootstrap, "_pip", lambda *_: None)
    ensure()
    assert len(made) == 2


def test_an_environment_that_was_moved_is_made_anew(
    made: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its commands name the interpreter by its whole path."""
    ensure()
    (tmp_path / "checkout").rename(tmp_path / "moved")
    _place(monkeypatch, tmp_path / "moved")
    ensure()
    assert made == [tmp_path / "checkout/.venv", tmp_path / "moved/.venv"]


def _killed(*_: str) -> None:
    raise KeyboardInterrupt
