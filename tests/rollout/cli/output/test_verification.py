from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from rollout.access import RegionAccess
from rollout.cli.output.verification import as_json, exit_code, print_report
from rollout.cluster.application import parse_application
from rollout.judge.verdict import verdict_of
from rollout.measurement import Measurement, Origin, Tally
from rollout.problem import Problem
from rollout.status.verification import Outcome
from tests.rollout.answers import measured
from tests.rollout.cluster.applications import NEW, well

WEIGHTS = {"v1": 90, "v2": 10}


def judged(measurement: Measurement) -> Outcome:
    name = measurement.region
    return Outcome(
        RegionAccess(name, name, f"context-{name}"), "echo", "mesh", WEIGHTS, verdict=verdict_of(measurement, WEIGHTS)
    )


def outcome(region: str, counts: dict[str, int]) -> Outcome:
    return judged(measured(counts, region=region))


GOOD = outcome("region-a", {"v1": 5_388, "v2": 612})
BAD = outcome("region-b", {"v1": 2_550, "v2": 450})
UNDECIDED = outcome("region-a", {"v1": 900, "v2": 100})
# all of one version, and then all of the other
DEPENDENT = judged(
    replace(measured({"v1": 900, "v2": 100}), transitions={("v1", "v1"): 899, ("v1", "v2"): 1, ("v2", "v2"): 99})
)
UNMEASURED = Outcome(
    RegionAccess("region-c", "region-c", "c"),
    "echo",
    "mesh",
    WEIGHTS,
    problems=(Problem("probe lost", "no requests", "start again"),),
)


def printed(*outcomes: Outcome, terminal: bool = False, width: int = 200) -> str:
    stream = io.StringIO()
    print_report(Console(file=stream, width=width, force_terminal=terminal), outcomes)
    return stream.getvalue()


def table_rows(text: str) -> list[str]:
    """The table's lines below its heading."""
    return [row for row in text.partition("\n\n")[0].splitlines() if re.search(r"\d - \d", row)]


class TestTable:
    def test_has_the_columns_in_order(self) -> None:
        heading = printed(GOOD).splitlines()[0]

        assert " ".join(heading.split()) == "region service version weight requests share interval failures verdict"

    def test_a_row_says_all_of_its_version(self) -> None:
        assert "region-a echo v1 90 % 5,388 89.8 % 88.2 - 91.3 % 0 holds" in [
            " ".join(row.split()) for row in printed(GOOD).splitlines()
        ]

    def test_every_row_names_its_region_and_its_service(self) -> None:
        rows = table_rows(printed(GOOD, replace(BAD, service="web")))

        assert [row.split()[:2] for row in rows] == [["region-a", "echo"]] * 2 + [["region-b", "web"]] * 2

    def test_a_row_that_does_not_hold_says_what_is_wrong(self) -> None:
        row = next(row for row in printed(BAD).splitlines() if " v2 " in row)

        assert row.rstrip().endswith("off weight")

    def test_no_row_holds_while_it_is_not_yet_known(self) -> None:
        assert [row.split("  ")[-1].strip() for row in map(str.rstrip, table_rows(printed(UNDECIDED)))] == [
            "not yet known",
            "not yet known",
        ]

    def test_no_row_holds_where_requests_depend_on_each_other(self) -> None:
        assert [row.split("  ")[-1].strip() for row in map(str.rstrip, table_rows(printed(DEPENDENT)))] == [
            "not independent",
            "not independent",
        ]

    def test_has_no_escapes_without_a_terminal(self) -> None:
        assert "\x1b" not in printed(GOOD, BAD)

    def test_fits_a_terminal_of_90_columns_in_one_line_each(self) -> None:
        rows = table_rows(printed(GOOD, BAD, width=90))

        assert [row.split("  ")[-1].strip() for row in map(str.rstrip, rows)] == [
            "holds",
            "holds",
            "off weight",
            "off weight",
        ]

    def test_names_from_answers_are_not_taken_for_markup(self) -> None:
        odd = measured({"v1": 2_700, "v2": 299})
        odd = replace(odd, answered={**odd.answered, Origin("x", "[red]"): Tally(1, 0)})

        assert "[red] of x" in printed(judged(odd))


class TestSummary:
    def test_says_what_is_allowed_and_how_often_it_is_wrong(self) -> None:
        assert (
            "A share may be 2 points from its weight; intervals and verdicts are wrong once in 1,000 times at most."
            in printed(GOOD)
        )

    def test_of_a_region_that_holds(self) -> None:
        assert (
            "region-a echo holds: 6,000 requests in 6.0 s, none failed, every share is within 2 points of its weight."
            in printed(GOOD)
        )

    def test_of_a_region_that_does_not_lists_its_findings(self) -> None:
        assert "region-b echo does not hold (3,000 requests in 6.0 s):" in printed(BAD)
        assert "  - off weight: v2 got 15.0 % (450 of 3,000) where its weight is 10" in printed(BAD)

    def test_of_a_region_that_is_not_yet_known_says_how_many_more_requests_it_takes(self) -> None:
        assert "region-a echo is not yet known (1,000 requests in 6.0 s):" in printed(UNDECIDED)
        assert "  - not yet known: 1,000 requests do not decide it; about " in printed(UNDECIDED)

    def test_of_a_region_whose_requests_depend_on_each_other_says_so(self) -> None:
        assert "region-a echo is not independent (1,000 requests in 6.0 s):" in printed(DEPENDENT)
        assert "  - not independent: which version answers depends on who answered before" in printed(DEPENDENT)

    def test_says_what_interrupted_the_sending(self) -> None:
        interrupted = replace(measured({"v1": 900, "v2": 100}), interruption="the probe was killed")

        assert "  - interrupted: the probe was killed" in printed(judged(interrupted))


class TestDelivery:
    def test_of_a_region_that_could_not_be_measured_is_told_too(self) -> None:
        unmeasured = replace(UNMEASURED, application=parse_application(well(NEW)))

        assert printed(unmeasured) == f"region-c echo: weights of deploy/overlays/region-a/echo at {NEW}\n"

    def test_that_is_synced_and_healthy_needs_no_more_words(self) -> None:
        assert "Argo CD" not in printed(replace(GOOD, application=parse_application(well(NEW))))


class TestJson:
    def test_says_the_same_as_the_table(self) -> None:
        document = json.loads(json.dumps(as_json([GOOD, BAD])))

        assert document["holds"] is False
        assert [region["holds"] for region in document["regions"]] == [True, False]
        assert {(region["region"], region["service"]) for region in document["regions"]} == {
            ("region-a", "echo"),
            ("region-b", "echo"),
        }
        first = document["regions"][0]["rows"][0]
        assert (first["version"], first["weight"], first["requests"], first["share"], first["failures"]) == (
            "v1",
            90,
            5_388,
            0.898,
            0,
        )
        assert [finding["kind"] for finding in document["regions"][1]["findings"]] == ["off weight", "off weight"]

    def test_says_at_which_risk_and_tolerance(self) -> None:
        document = as_json([GOOD])

        assert (document["risk"], document["tolerance_points"]) == (0.001, 2)

    @pytest.mark.parametrize(
        ("judged", "standing"),
        [
            (GOOD, "holds"),
            (BAD, "does not hold"),
            (UNDECIDED, "not yet known"),
            (DEPENDENT, "not independent"),
        ],
    )
    def test_says_what_is_known(self, judged: Outcome, standing: str) -> None:
        assert as_json([judged])["regions"][0]["standing"] == standing

    def test_says_how_many_more_requests_it_takes(self) -> None:
        assert as_json([GOOD])["regions"][0]["requests_to_go"] == 0
        assert as_json([UNDECIDED])["regions"][0]["requests_to_go"] > 0

    def test_holds_the_problems_of_a_region_that_was_not_measured(self) -> None:
        region = as_json([UNMEASURED])["regions"][0]

        assert region["holds"] is False
        assert region["problems"] == [{"what": "probe lost", "why": "no requests", "fix": "start again"}]


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([GOOD], 0),
        ([GOOD, BAD], 1),
        ([GOOD, UNMEASURED], 2),
        ([UNMEASURED, BAD], 1),
        ([GOOD, UNDECIDED], 1),
        ([GOOD, DEPENDENT], 1),
    ],
)
def test_exit_code(outcomes: list[Outcome], code: int) -> None:
    assert exit_code(outcomes) == code
