from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.problem import RolloutError
from rollout.weights import assignments, shifted

THREE = {"v1": 60, "v2": 30, "v3": 10}


class TestShifted:
    def test_of_two_gives_the_other_the_rest(self) -> None:
        assert shifted({"v1": 90, "v2": 10}, "v2", 25) == {"v1": 75, "v2": 25}

    def test_of_three_lets_the_others_share_the_rest_as_before(self) -> None:
        assert shifted(THREE, "v3", 55) == {"v1": 30, "v2": 15, "v3": 55}

    def test_rounds_up_the_largest_remainder(self) -> None:
        # 95 between 60 and 30: 63.33 and 31.67
        assert shifted(THREE, "v3", 5) == {"v1": 63, "v2": 32, "v3": 5}

    def test_of_equal_remainders_rounds_up_the_older_version(self) -> None:
        assert shifted({"v10": 40, "v2": 40, "v3": 20}, "v3", 25) == {"v10": 37, "v2": 38, "v3": 25}

    def test_to_all_leaves_nothing(self) -> None:
        assert shifted(THREE, "v3", 100) == {"v1": 0, "v2": 0, "v3": 100}

    def test_leaves_a_version_without_requests_without(self) -> None:
        assert shifted({"v1": 90, "v2": 10, "v3": 0}, "v2", 50) == {"v1": 50, "v2": 50, "v3": 0}

    def test_gives_the_rest_to_whom_is_said_where_no_other_has_requests(self) -> None:
        assert shifted({"v1": 0, "v2": 0, "v3": 100}, "v3", 40, rest_to="v1") == {"v1": 60, "v2": 0, "v3": 40}

    def test_refuses_a_rest_for_nobody(self) -> None:
        with pytest.raises(RolloutError, match="v2 40 leaves 60 % to nobody: v1 has weight 0"):
            shifted({"v1": 0, "v2": 100}, "v2", 40)

    def test_refuses_a_rest_where_there_is_no_other(self) -> None:
        with pytest.raises(RolloutError, match="v1 40 makes 40, not 100"):
            shifted({"v1": 100}, "v1", 40)

    @given(
        parts=st.lists(st.integers(0, 100), min_size=2, max_size=6).filter(lambda parts: sum(parts[1:]) > 0),
        to=st.integers(0, 100),
    )
    def test_always_makes_100_and_is_within_one_of_the_exact_share(self, parts: list[int], to: int) -> None:
        weights = {f"v{number}": part for number, part in enumerate(parts)}
        others = sum(parts[1:])

        found = shifted(weights, "v0", to)

        assert (sum(found.values()), found["v0"]) == (100, to)
        assert all(
            abs(found[f"v{number}"] - (100 - to) * parts[number] / others) < 1 for number in range(1, len(parts))
        )


class TestAssignments:
    @pytest.mark.parametrize(
        ("wishes", "expected"),
        [
            # 75 between 60 and 10: 64.29 and 10.71
            (["v2=25"], {"v1": 64, "v2": 25, "v3": 11}),
            (["v2=25", "v3=25"], {"v1": 50, "v2": 25, "v3": 25}),
            (["v1=0", "v2=0", "v3=100"], {"v1": 0, "v2": 0, "v3": 100}),
            (["v2=30%"], THREE),
        ],
    )
    def test_are_as_said_and_the_others_share_the_rest(self, wishes: list[str], expected: dict[str, int]) -> None:
        assert assignments(wishes, THREE, "v1") == expected

    def test_give_the_rest_to_the_stable_version_where_the_others_have_nothing(self) -> None:
        assert assignments(["v3=10"], {"v1": 0, "v2": 0, "v3": 100}, "v2") == {"v1": 0, "v2": 90, "v3": 10}

    @pytest.mark.parametrize(
        ("wishes", "told"),
        [
            (["v2"], "'v2' is not of the form VERSION=WEIGHT"),
            (["v2=-1"], "'v2=-1' is not of the form VERSION=WEIGHT"),
            (["v2=2.5"], "'v2=2.5' is not of the form VERSION=WEIGHT"),
            (["v2=1", "v2=2"], "v2 is given a weight twice"),
            (["v2=101"], "v2 101 makes 101, not 100"),
            (["v22=10"], "v22: there is no such version here"),
            (["v1=60", "v2=60"], "v1 60 \\+ v2 60 makes 120, not 100"),
            (["v1=60", "v2=20", "v3=10"], "makes 90, not 100"),
        ],
    )
    def test_that_are_no_split_are_refused(self, wishes: list[str], told: str) -> None:
        with pytest.raises(RolloutError, match=told):
            assignments(wishes, THREE, "v1")

    def test_of_a_version_that_is_misspelt_tell_the_nearest(self) -> None:
        with pytest.raises(RolloutError, match=r"did you mean v2\?"):
            assignments(["v22=10"], {"v1": 90, "v2": 10}, "v1")

    def test_that_are_wrong_are_told_together(self) -> None:
        with pytest.raises(RolloutError) as refused:
            assignments(["v2", "v3=1", "v3=2"], THREE, "v1")

        assert len(refused.value.problems) == 2
