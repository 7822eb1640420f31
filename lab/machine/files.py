"""Small files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path


def write(file: Path, content: str | bytes, *, mode: int = 0o600) -> None:
    """Write a file beside its place, then put it there; one that holds just this is left alone.

    Args:
        file: its place, in a folder that is there.
        content: all of it.
        mode: its permissions, from its first byte on.
    """
    wanted = content.encode() if isinstance(content, str) else content
    if file.exists() and file.read_bytes() == wanted:
        return
    partial = file.with_name(file.name + ".partial")
    partial.touch(mode=0o600)
    partial.chmod(mode)
    partial.write_bytes(wanted)
    partial.replace(file)
