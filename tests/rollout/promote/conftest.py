"""Two clones of a project, and the regions that follow its remote."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.two_clones import TwoClones, new_two_clones


@pytest.fixture
def clones(tmp_path: Path) -> TwoClones:
    return new_two_clones(tmp_path)


@pytest.fixture
def regions(clones: TwoClones) -> FakeRegions:
    return FakeRegions(clones.remote)
