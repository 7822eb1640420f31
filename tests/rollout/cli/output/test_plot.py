from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

import pytest

from rollout.cli.output.plot import Panel, svg
from rollout.judge.shares import RISK, share_interval
from rollout.status.verification import Point

SPLIT = {"v1": 90, "v2": 10}
SVG = "{http://www.w3.org/2000/svg}"


def steady(weights: Mapping[str, int], looks: int = 4) -> list[Point]:
    return [
        Point(1_000 * look, {version: 10 * look * weight for version, weight in weights.items()})
        for look in range(1, looks + 1)
    ]


def drawn(*panels: Panel) -> ET.Element:
    return ET.fromstring(svg(panels))


def of_class(picture: ET.Element, name: str) -> list[ET.Element]:
    """The elements of a class within charts, not in the legend."""
    return [
        found
        for chart in picture.iter(f"{SVG}svg")
        if chart is not picture
        for found in chart
        if found.get("class") == name
    ]


def points(element: ET.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in element.attrib["points"].split())]


def texts(picture: ET.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


def titles(picture: ET.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text") if text.get("class") == "title"]


def test_there_is_a_panel_for_each_region() -> None:
    picture = drawn(Panel("region-a", SPLIT, steady(SPLIT)), Panel("region-b", SPLIT, steady(SPLIT)))

    assert titles(picture) == ["region-a: v2 at weight 10", "region-b: v2 at weight 10"]


@pytest.mark.parametrize(
    ("weights", "versions"),
    [
        ({"v1": 75, "v2": 25}, ["v2"]),
        ({"v1": 25, "v2": 75}, ["v1"]),
        ({"v1": 100, "v2": 0}, ["v1"]),
        ({"v1": 80, "v2": 15, "v3": 5}, ["v3", "v2", "v1"]),
    ],
)
def test_of_two_versions_the_lesser_is_drawn_and_of_more_each(weights: dict[str, int], versions: list[str]) -> None:
    picture = drawn(Panel("region-a", weights, steady(weights)))

    assert [title.split()[1] for title in titles(picture)] == versions


def test_a_share_at_its_weight_lies_on_the_line_of_the_weight_in_the_middle_of_the_band() -> None:
    picture = drawn(Panel("region-a", SPLIT, steady(SPLIT)))
    (weight,), (band,), (share,) = (of_class(picture, name) for name in ("weight", "allowed", "share"))

    line = float(weight.attrib["y1"])
    assert {y for _, y in points(share)} == {line}
    assert float(band.attrib["y"]) + float(band.attrib["height"]) / 2 == pytest.approx(line, abs=0.1)


def test_the_interval_is_the_one_of_the_verdict() -> None:
    picture = drawn(Panel("region-a", SPLIT, steady(SPLIT)))
    (band,), (interval,) = of_class(picture, "allowed"), of_class(picture, "interval")
    # the band is four points high
    per_point = float(band.attrib["height"]) / 4
    middle = float(band.attrib["y"]) + 2 * per_point
    expected = share_interval(400, 4_000, 10, RISK)

    (_, upper), (_, lower) = [point for point in points(interval) if point[0] == max(x for x, _ in points(interval))]

    assert 10 + (middle - upper) / per_point == pytest.approx(100 * expected.high, abs=0.05)
    assert 10 + (middle - lower) / per_point == pytest.approx(100 * expected.low, abs=0.05)


def test_the_interval_of_one_of_three_versions_has_its_part_of_the_risk() -> None:
    weights = {"v1": 80, "v2": 15, "v3": 5}
    expected = share_interval(200, 4_000, 5, RISK / 3)

    shown = next(text for text in texts(drawn(Panel("region-a", weights, steady(weights)))) if "5.00 %" in text)

    assert shown == f"5.00 % of 4,000, between {100 * expected.low:.2f} % and {100 * expected.high:.2f} %"


def test_a_share_far_from_its_weight_is_still_in_the_picture() -> None:
    picture = drawn(Panel("region-a", SPLIT, [Point(100, {"v1": 10, "v2": 90})]))
    (chart,) = (element for element in picture.iter(f"{SVG}svg") if element is not picture)
    (share,) = of_class(picture, "share")

    assert 0 < points(share)[-1][1] < float(chart.attrib["height"])


def test_a_version_that_was_never_seen_is_drawn_at_zero() -> None:
    picture = drawn(Panel("region-a", SPLIT, [Point(130, {"v1": 130})]))

    assert any(text.startswith("0.00 % of 130, between 0.00 %") for text in texts(picture))


def test_a_region_without_requests_has_no_panel() -> None:
    assert titles(drawn(Panel("region-a", SPLIT, [Point(0, {})]), Panel("region-b", SPLIT, []))) == []


def test_names_are_text_and_not_markup() -> None:
    picture = drawn(Panel("<a> & b", SPLIT, steady(SPLIT)))

    assert titles(picture) == ["<a> & b: v2 at weight 10"]


def test_every_colour_has_one_for_the_dark() -> None:
    style = next(drawn(Panel("region-a", SPLIT, steady(SPLIT))).iter(f"{SVG}style")).text or ""
    light, dark = style.split("@media (prefers-color-scheme: dark)")

    def coloured(rules: str) -> set[str]:
        return {name for name, rule in re.findall(r"([.\w]+) \{([^}]*)\}", rules) if "#" in rule}

    assert coloured(light) == coloured(dark) != set()


def test_of_many_looks_a_few_hundred_are_drawn_evenly_spaced_up_to_the_last() -> None:
    picture = drawn(Panel("region-a", SPLIT, steady(SPLIT, 3_000)))
    (share,) = of_class(picture, "share")
    across = [x for x, _ in points(share)]

    assert 199 <= len(across) <= 400
    assert len({round(after - before) for before, after in itertools.pairwise(across[:-1])}) == 1
    assert across[-1] == max(across) == 648.0
