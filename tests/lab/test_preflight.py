"""A machine that cannot host the lab is told so at once, with every reason."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab import preflight


def test_another_system_than_linux_is_the_only_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert [problem.partition(":")[0] for problem in preflight.problems()] == ["this is Darwin"]


def test_all_reasons_are_given_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "sysconf", lambda _: 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    monkeypatch.setenv("PATH", str(tmp_path))
    text = preflight.explain(preflight.problems())
    assert [
        word for word in ("not root", "GiB of memory", "GiB of disk", "Go is missing", "no apt-get") if word not in text
    ] == []
    assert text.endswith("Nothing was changed.")


@pytest.mark.parametrize(
    ("version", "fits"), [("go1.26.8", True), ("go1.27", True), ("go1.25.3", False), ("go2.0", True)]
)
def test_go_is_held_against_the_pinned_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, fits: bool
) -> None:
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho {version}\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert any(version in problem for problem in preflight.problems()) is not fits
