from __future__ import annotations

import pytest

from rules.facts.region import Limits
from tests.rules import altered, good

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


def texts(image: str, *immutable_tags: str) -> list[str]:
    limits = Limits(immutable_tags=immutable_tags) if immutable_tags else Limits()
    region = good.region(wanted={"v2": good.Wanted(100, image=image)}, limits=limits)
    return altered.texts("image-pinned", region)


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("registry.corp.local/echo", "has neither digest nor tag, which is the tag latest"),
        ("registry.corp.local:5000/echo", "has neither digest nor tag, which is the tag latest"),
        ("registry.corp.local/echo:latest", "has the tag latest, which may come to be another image"),
        ("registry.corp.local/echo:main", "has the tag main, which may come to be another image"),
        ("registry.corp.local/echo:2", "has the tag 2, which may come to be another image"),
        ("registry.corp.local/echo:2.0.0.", "has the tag 2.0.0., which may come to be another image"),
        ("registry.corp.local/echo@sha256:0123", "has a digest that is no sha256:<64 hexadecimal digits>"),
    ],
)
def test_an_image_that_may_change_under_its_name_is_refused(image: str, problem: str) -> None:
    where = "Deployment echo/echo-v2: spec.template.spec.containers"

    assert texts(image) == [f"{where}: {image} {problem}"]


@pytest.mark.parametrize(
    "image",
    [
        "echo:2.0.0",
        "registry.corp.local:5000/echo:v2.0.0-rc.1",
        f"registry.corp.local/echo@{DIGEST}",
        f"registry.corp.local/echo:latest@{DIGEST}",
    ],
)
def test_one_that_cannot_is_fine(image: str) -> None:
    assert texts(image) == []


def test_what_counts_as_immutable_is_the_stack_files_to_say() -> None:
    assert texts("echo:build-17", r"build-[0-9]+") == []
    assert texts("echo:build-17x", r"build-[0-9]+"), "a pattern is of the whole tag"


def test_latest_is_never_immutable() -> None:
    assert texts("echo:latest", r".*") == [
        "Deployment echo/echo-v2: spec.template.spec.containers: "
        "echo:latest has the tag latest, which may come to be another image"
    ]
