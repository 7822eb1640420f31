from __future__ import annotations

import pytest

from rules.facts.region import Region
from rules.facts.workloads import OutlierDetection
from rules.finding import Severity
from rules.region.ejection import is_heeded, pods_out_at_once
from tests.rules import altered, good

DETECTION = "DestinationRule echo/echo: spec.trafficPolicy.outlierDetection"


def region(stable: int = 3, canary: int = 3, *, weight: int = 10, **changes: object) -> Region:
    """A region with so many pods, and its outlier detection changed."""
    found = good.region(wanted={"v1": good.Wanted(100 - weight, stable), "v2": good.Wanted(weight, canary)})
    return altered.detection(found, **changes) if changes else found


class TestPodsOut:
    """As measured with Envoy 1.40: hosts, limit, and how many of them it had out when all of them failed."""

    @pytest.mark.parametrize(
        ("replicas", "limit", "out"),
        [
            (3, 34, 1),
            (3, 33, 0),
            (3, None, 0),
            (3, 0, 0),
            (3, 66, 1),
            (3, 67, 2),
            (3, 100, 3),
            (10, None, 1),
            (1, 99, 0),
            (1, 100, 1),
        ],
    )
    def test_the_limit_is_not_rounded_up(self, replicas: int, limit: int | None, out: int) -> None:
        assert pods_out_at_once(replicas, OutlierDetection(max_ejection_percent=limit)) == out


class TestHeeded:
    """As measured with Envoy 1.40: whether the pods that were out got no requests."""

    @pytest.mark.parametrize(
        ("out", "replicas", "least", "heeded"),
        [
            (1, 3, 66, True),
            (1, 3, 67, False),
            (1, 2, 50, True),
            (1, 2, 51, False),
            (1, 4, 80, True),
            (1, 4, 100, True),
            (2, 7, 100, True),
            (3, 7, 100, False),
            (3, 7, 57, True),
            (3, 7, 59, False),
            (3, 3, None, True),
            (3, 3, 0, True),
            (3, 3, 50, False),
        ],
    )
    def test_until_too_few_are_left(self, out: int, replicas: int, least: int | None, heeded: bool) -> None:
        assert is_heeded(out, replicas, OutlierDetection(min_health_percent=least)) is heeded


class TestIsOn:
    @pytest.mark.parametrize(
        ("bad", "text"),
        [
            (altered.each(good.region(), "destination_rules", outlier_detection=None), f"{DETECTION}: is missing"),
            (
                region(consecutive_5xx_errors=0),
                f"{DETECTION}: consecutive5xxErrors is 0 and consecutiveGatewayErrors is off",
            ),
            (
                region(consecutive_5xx_errors=0, consecutive_gateway_errors=0),
                f"{DETECTION}: consecutive5xxErrors is 0 and consecutiveGatewayErrors is off",
            ),
        ],
    )
    def test_detection_of_nothing_is_told(self, bad: Region, text: str) -> None:
        assert altered.texts("ejection-is-on", bad) == [text]

    @pytest.mark.parametrize(
        "safe",
        [
            region(consecutive_5xx_errors=None),
            region(consecutive_5xx_errors=1),
            region(consecutive_5xx_errors=0, consecutive_gateway_errors=3),
        ],
    )
    def test_one_threshold_is_enough_and_istio_has_one_by_itself(self, safe: Region) -> None:
        assert altered.texts("ejection-is-on", safe) == []


class TestCanFire:
    def test_a_limit_that_lets_no_pod_out_is_refused_with_the_numbers_of_each_version(self) -> None:
        found = altered.violations("ejection-can-fire", region(3, 2, max_ejection_percent=None))

        assert [f"{each.where}: {each.what}" for each in found] == [
            f"{DETECTION}.maxEjectionPercent: at 10 % (Envoy's own limit) 0 of the 3 pods of v1 may be out at a time",
            f"{DETECTION}.maxEjectionPercent: at 10 % (Envoy's own limit) 0 of the 2 pods of v2 may be out at a time",
        ]
        assert {each.mend for each in found} == {
            "set services.echo.maxEjectionPercent to 50: for one of 3 it takes 34, for one of 2 it takes 50"
        }

    @pytest.mark.parametrize(
        ("bad", "severities"),
        [
            (region(max_ejection_percent=33), [None, None]),
            (region(3, 2), [None]),
            (region(10, 9, max_ejection_percent=10), [None]),
            (region(10, 2, max_ejection_percent=10), [Severity.WARNING]),
            (region(2, 10, max_ejection_percent=10), [None]),
            (region(10, 2, weight=50, max_ejection_percent=10), [None]),
        ],
    )
    def test_it_is_a_warning_where_a_limit_for_few_pods_lets_more_go_of_the_version_with_most_requests(
        self, bad: Region, severities: list[Severity | None]
    ) -> None:
        assert [each.severity for each in altered.violations("ejection-can-fire", bad)] == severities

    def test_two_pods_of_a_canary_beside_ten_are_a_warning(self) -> None:
        (found,) = altered.violations("ejection-can-fire", region(10, 2, max_ejection_percent=None))

        assert (found.what, found.mend, found.severity) == (
            "at 10 % (Envoy's own limit) 0 of the 2 pods of v2 may be out at a time",
            "set services.echo.maxEjectionPercent to 50: for one of 10 it takes 10, for one of 2 it takes 50",
            Severity.WARNING,
        )

    def test_of_one_pod_none_can_be_spared_which_is_a_warning(self) -> None:
        (found,) = altered.violations("ejection-can-fire", region(3, 1))

        assert found.what == "at 34 % 0 of the 1 pod of v2 may be out at a time"
        assert found.severity is Severity.WARNING

    @pytest.mark.parametrize(
        "safe",
        [
            region(),
            region(10, 10, max_ejection_percent=None),
            region(3, 2, weight=0),
            region(3, 0),
            region(consecutive_5xx_errors=0, max_ejection_percent=None),
        ],
    )
    def test_it_is_enough_for_one_pod_of_each_version_that_has_requests(self, safe: Region) -> None:
        assert altered.texts("ejection-can-fire", safe) == []


class TestIsHeeded:
    def test_a_least_health_that_undoes_the_first_ejection_is_refused(self) -> None:
        assert altered.texts("ejection-is-heeded", region(min_health_percent=67, weight=0)) == [
            f"{DETECTION}.minHealthPercent: with one of the 3 pods of v1 out 66 % are left, which is less than 67"
        ]

    @pytest.mark.parametrize(
        "safe",
        [
            region(min_health_percent=66),
            region(4, 4, min_health_percent=100),
            region(3, 1, min_health_percent=50),
            region(min_health_percent=67, max_ejection_percent=None),
            region(1, 3, min_health_percent=67, max_ejection_percent=100, weight=0),
        ],
    )
    def test_one_that_comes_into_force_later_or_never_is_fine(self, safe: Region) -> None:
        assert altered.texts("ejection-is-heeded", safe) == []


class TestLeavesPods:
    @pytest.mark.parametrize(
        ("bad", "text"),
        [
            (region(max_ejection_percent=100, weight=0), "at 100 % 3 of the 3 pods of v1 may be out at a time"),
            (region(1, 3, max_ejection_percent=100, weight=0), "at 100 % 1 of the 1 pod of v1 may be out at a time"),
        ],
    )
    def test_all_pods_out_at_once_is_told(self, bad: Region, text: str) -> None:
        assert altered.texts("ejection-leaves-pods", bad) == [f"{DETECTION}.maxEjectionPercent: {text}"]

    @pytest.mark.parametrize(
        "safe", [region(max_ejection_percent=99), region(max_ejection_percent=100, min_health_percent=1)]
    )
    def test_one_that_is_left_or_panic_is_enough(self, safe: Region) -> None:
        assert altered.texts("ejection-leaves-pods", safe) == []


class TestThresholds:
    @pytest.mark.parametrize(
        ("bad", "text"),
        [
            (region(consecutive_gateway_errors=10), "10 is never reached before consecutive5xxErrors, 10, is"),
            (
                region(consecutive_gateway_errors=1, consecutive_5xx_errors=1),
                "1 is never reached before consecutive5xxErrors, 1, is",
            ),
            (
                region(consecutive_gateway_errors=5, consecutive_5xx_errors=None),
                "5 is never reached before consecutive5xxErrors, 5 (Istio's own), is",
            ),
        ],
    )
    def test_one_that_hides_the_other_is_told(self, bad: Region, text: str) -> None:
        assert altered.texts("ejection-thresholds-apart", bad) == [f"{DETECTION}.consecutiveGatewayErrors: {text}"]

    @pytest.mark.parametrize(
        "safe",
        [
            altered.each(good.region(), "destination_rules", outlier_detection=None),
            region(consecutive_gateway_errors=9),
            region(consecutive_gateway_errors=0),
            region(consecutive_gateway_errors=10, consecutive_5xx_errors=0),
        ],
    )
    def test_a_lower_one_and_one_that_is_off_are_fine(self, safe: Region) -> None:
        assert altered.texts("ejection-thresholds-apart", safe) == []


class TestCostsLittle:
    def test_one_error_that_ejects_a_pod_is_told_with_what_the_others_get(self) -> None:
        assert altered.texts("ejection-costs-little", region(weight=0, consecutive_5xx_errors=1)) == [
            f"{DETECTION}: a single failed answer ejects a pod, and with 1 of the 3 pods of v1 out the others get 1.5 times their "
            "requests"
        ]

    def test_it_is_told_once_of_the_version_that_loses_most(self) -> None:
        (found,) = altered.violations("ejection-costs-little", region(5, 3, consecutive_5xx_errors=1))

        assert "with 1 of the 3 pods of v2 out" in found.what

    def test_an_ejection_of_hours_is_told_with_what_the_others_get(self) -> None:
        bad = region(weight=0, base_ejection_seconds=7200.0, max_ejection_percent=67)

        assert altered.texts("ejection-costs-little", bad) == [
            f"{DETECTION}: an ejected pod gets nothing for 7200 s and until the next look, up to 5 s more, and with 2 of the 3 pods of "
            "v1 out the others get 3 times their requests"
        ]

    @pytest.mark.parametrize(
        "bad",
        [
            region(weight=0, consecutive_gateway_errors=1),
            region(weight=0, interval_seconds=3600.0),
            region(weight=0, base_ejection_seconds=300.0, interval_seconds=None),
            region(weight=0, base_ejection_seconds=None, interval_seconds=271.0),
        ],
    )
    def test_so_are_one_gateway_error_and_looks_that_are_far_apart(self, bad: Region) -> None:
        assert len(altered.violations("ejection-costs-little", bad)) == 1

    @pytest.mark.parametrize(
        "safe",
        [
            region(),
            region(consecutive_5xx_errors=2),
            region(consecutive_5xx_errors=None),
            region(consecutive_5xx_errors=1, max_ejection_percent=33),
            region(base_ejection_seconds=None, interval_seconds=None),
            region(base_ejection_seconds=295.0),
        ],
    )
    def test_several_errors_a_pod_that_is_never_ejected_and_five_minutes_are_fine(self, safe: Region) -> None:
        assert altered.texts("ejection-costs-little", safe) == []
