from __future__ import annotations

import pytest

from rules.change.differences import differences
from rules.facts.workloads import ObjectId, Workloads


def asking(cpu: object, of: str = "resources") -> Workloads:
    container = {"name": "echo", of: {"limits": {"cpu": cpu}}}
    document = {"spec": {"template": {"spec": {"containers": [container]}}}}
    return Workloads(documents={ObjectId("Deployment", "echo", "echo-v1"): document})


@pytest.mark.parametrize(
    ("before", "after"),
    [("1", "1000m"), (1, "1.0"), ("0.5", "500m"), ("1Gi", "1024Mi"), ("2M", "2000k"), (0.25, "250m")],
)
def test_two_ways_to_write_a_quantity_do_not_differ(before: object, after: object) -> None:
    assert not differences(asking(before), asking(after))


@pytest.mark.parametrize(
    ("before", "after"), [("1", "1m"), ("1M", "1Mi"), ("1G", "1Gi"), ("1", None), (1, True), ("x", "1"), ("1K", "1k")]
)
def test_another_quantity_differs(before: object, after: object) -> None:
    (found,) = differences(asking(before), asking(after))

    assert found.where == "spec.template.spec.containers[echo].resources.limits.cpu"


def test_what_is_no_quantity_differs_by_its_text() -> None:
    assert differences(asking("1", of="env"), asking("1000m", of="env"))
