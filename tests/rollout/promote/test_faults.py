"""Whatever fails while a version that fails is taken back: in the end it has no requests, and nothing else is lost.

`python -m tests.rollout.promote` plays many more rounds, of all kinds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rollout.promote.faults import play


@pytest.mark.parametrize(("kind", "number"), [("others push", 3), ("SIGTERM", 0), ("several at once", 0)])
def test_a_round_ends_right(tmp_path: Path, kind: str, number: int) -> None:
    played = play(kind, number, tmp_path)

    assert played.met
    assert played.wrong == [], played.said
