"""A file is there whole or not at all, and private keys are never anybody else's to read."""

from __future__ import annotations

from pathlib import Path

from lab.machine.files import write


def test_a_file_is_replaced_and_never_open_half_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write(file, "old")
    with file.open() as reader:
        write(file, "new")
        assert reader.read() == "old"
    assert file.read_text() == "new"


def test_a_file_that_holds_just_this_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "file", "same")
    before = (tmp_path / "file").stat().st_ino
    write(tmp_path / "file", "same")
    assert (tmp_path / "file").stat().st_ino == before


def test_what_a_killed_writer_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_text("half")
    (tmp_path / "file.partial").chmod(0o644)
    write(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_program_may_be_run(tmp_path: Path) -> None:
    write(tmp_path / "program", "#!/bin/sh\n", mode=0o755)
    assert (tmp_path / "program").stat().st_mode & 0o777 == 0o755
