from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from typer import testing
from typer.main import get_command


@pytest.fixture(autouse=True, scope="session")
def _one_command() -> Iterator[None]:
    """Typer reads the signatures of all verbs whenever a test runs one: here it does so once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(testing, "_get_command", cache(get_command))
        yield
