from __future__ import annotations

import pytest

from rules.facts.workloads import Unreadable, Workloads
from rules.region.reading import all_read
from tests.rules import altered, good


def test_an_object_that_cannot_be_read_is_told_as_it_was_found() -> None:
    bad = Unreadable("VirtualService echo/echo: spec.http[0].route[1].weight", '"ten" is not a whole number')

    assert altered.texts("objects-readable", altered.workloads(good.region(), unreadable=(bad,))) == [
        'VirtualService echo/echo: spec.http[0].route[1].weight: "ten" is not a whole number'
    ]


@pytest.mark.parametrize(("kind", "known"), [("Deployment", False), (None, False), ("Service", True)])
def test_of_a_kind_all_is_known_unless_one_of_it_or_of_no_kind_was_not_read(kind: str | None, known: bool) -> None:
    workloads = Workloads(unreadable=(Unreadable("somewhere", "is no good", kind),))

    assert all_read(workloads, "Deployment") is known
