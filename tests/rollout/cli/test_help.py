"""What `rollout --help` and `rollout --version` print."""

from __future__ import annotations

from importlib.metadata import version

from typer.testing import CliRunner

from rollout.__main__ import app

_COLUMNS = 80


def printed(option: str) -> str:
    done = CliRunner().invoke(app, [option], env={"COLUMNS": str(_COLUMNS)})
    assert done.exit_code == 0
    return done.stdout


def test_each_verb_is_described_in_one_line_that_is_not_cut() -> None:
    _, _, verbs = printed("--help").partition("Commands:\n")
    lines = verbs.splitlines()

    assert [line.split()[0] for line in lines] == [
        *("plan", "render", "status", "verify", "set", "introduce", "promote", "rollback", "retire")
    ]
    assert [line for line in lines if not line.endswith(".") or line.endswith("...") or len(line) > _COLUMNS] == []


def test_the_version_is_that_of_the_package() -> None:
    assert printed("--version") == f"rollout {version('echo-rollout')}\n"
