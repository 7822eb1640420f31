from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.measurement import (
    Count,
    Measurement,
    Origin,
    Result,
    ResultLines,
    Tally,
    UnreadableLineError,
    in_order,
    told_ms,
    told_seconds,
)
from tests.rollout.answers import REGION, fault, line, ok, other, page

RESULTS = st.builds(
    Result,
    code=st.sampled_from([0, 200, 503]),
    body=st.sampled_from(
        ["ok region=region-a version=v1", "fault region=region-b version=v2\n", "hé\u2028\x00", "ok", ""]
    ),
    error=st.sampled_from(["", "EOF", "503 Service Unavailable", ": "]),
    sequence=st.integers(0, 2**40),
    at_ns=st.integers(0, 2**62),
    request=st.integers(0, 1),
    subset=st.sampled_from(["", "v1", "v2", "\x1b[31mv1"]),
    upstream=st.booleans(),
)
# What each of their kinds expects.
EXPECTED = ((200,), (503, 404))


def counted(*results: Result) -> Measurement:
    count = Count(REGION, EXPECTED)
    for result in results:
        count.add(result)
    return count.measurement(planned=len(results), seconds=1.0)


class TestResultLines:
    @settings(max_examples=50)
    @given(results=st.lists(RESULTS, max_size=5), cuts=st.lists(st.integers(0, 2000), max_size=8))
    def test_results_do_not_depend_on_where_the_stream_is_cut(self, results: list[Result], cuts: list[int]) -> None:
        stream = b"".join(line(result) for result in results)
        edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        lines = ResultLines()

        read = [result for low, high in itertools.pairwise(edges) for result in lines.feed(stream[low:high])]
        lines.finish()

        assert read == results

    def test_a_result_is_given_as_soon_as_its_line_is_whole(self) -> None:
        lines = ResultLines()
        whole = line(ok())

        assert list(lines.feed(whole[:-1])) == []
        assert list(lines.feed(whole[-1:])) == [ok()]

    @pytest.mark.parametrize(
        "broken",
        [
            b"panic: runtime error\n",
            b"{}\n",
            b'{"seq":0,"code":"abc","body":"","error":"","at_ns":1}\n',
            b'{"seq":0,"code":200,"body":null,"error":"","at_ns":1}\n',
            b'{"seq":0,"code":200,"body":"","error":"","at_ns":1,"request":-1}\n',
            b'{"seq":0,"code":200,"body":"","error":"","at_ns":1,"subset":null}\n',
            b'{"seq":-1,"code":200,"body":"","error":"","at_ns":1}\n',
            b'{"code":200,"body":"","error":"","at_ns":1}\n',
            b'{"seq":0,"code":200,"body":"","error":""}\n',
            b"\xff\xfe\n",
        ],
    )
    def test_a_line_that_is_no_result_is_refused(self, broken: bytes) -> None:
        with pytest.raises(UnreadableLineError, match="a line that is not a result"):
            list(ResultLines().feed(broken))

    def test_results_before_a_refused_line_are_given(self) -> None:
        results = ResultLines().feed(line(ok()) + b"panic\n")

        assert next(results) == ok()

    def test_control_characters_of_a_refused_line_are_not_repeated(self) -> None:
        with pytest.raises(UnreadableLineError) as refused:
            list(ResultLines().feed(b"\x1b[31mred\n"))

        assert "\x1b" not in str(refused.value)

    def test_a_stream_that_ends_within_a_line_is_refused(self) -> None:
        lines = ResultLines()
        list(lines.feed(b'{"code":2'))

        with pytest.raises(UnreadableLineError, match="unfinished"):
            lines.finish()

    def test_a_line_without_end_is_refused_before_it_fills_the_memory(self) -> None:
        lines = ResultLines()

        with pytest.raises(UnreadableLineError, match="longer than"):
            list(itertools.chain.from_iterable(lines.feed(b"x" * 1024) for _ in range(100)))


class TestInOrder:
    @settings(max_examples=50)
    @given(st.permutations(range(8)))
    def test_gives_all_in_the_order_of_sending(self, came: list[int]) -> None:
        given_on = in_order(ok(sequence=sequence) for sequence in came)

        assert [result.sequence for result in given_on] == list(range(8))

    def test_a_request_under_way_holds_back_those_sent_after_it(self) -> None:
        came: list[int] = []

        def results() -> Iterator[Result]:
            for sequence in (0, 2, 3, 1):
                came.append(sequence)
                yield ok(sequence=sequence)

        ordered = in_order(results())

        assert (next(ordered).sequence, came) == (0, [0])
        assert (next(ordered).sequence, came) == (1, [0, 2, 3, 1])

    def test_what_was_held_back_when_the_results_fail_is_not_given(self) -> None:
        def results() -> Iterator[Result]:
            yield ok(sequence=0)
            yield ok(sequence=2)
            raise OSError

        ordered = in_order(results())

        assert next(ordered).sequence == 0
        with pytest.raises(OSError):  # noqa: PT011 - it has no text
            next(ordered)

    def test_a_number_that_comes_twice_loses_no_result(self) -> None:
        assert [result.sequence for result in in_order(ok(sequence=sequence) for sequence in (0, 0, 2, 1))] == [
            0,
            0,
            1,
            2,
        ]

    def test_a_number_that_never_comes_loses_no_other_result(self) -> None:
        assert [result.sequence for result in in_order(ok(sequence=sequence) for sequence in (0, 3, 2))] == [0, 2, 3]

    def test_leaving_it_ends_the_results(self) -> None:
        left: list[bool] = []

        def results() -> Iterator[Result]:
            try:
                yield ok(sequence=0)
                yield ok(sequence=1)
            finally:
                left.append(True)

        for _result in in_order(results()):
            break

        assert left == [True]


class TestCount:
    @settings(max_examples=50)
    @given(st.lists(RESULTS, max_size=10))
    def test_every_request_is_counted_exactly_once(self, results: list[Result]) -> None:
        assert counted(*results).requests == len(results)

    @settings(max_examples=50)
    @given(st.lists(RESULTS, max_size=10))
    def test_every_failure_is_counted_exactly_once_and_has_a_reason(self, results: list[Result]) -> None:
        measurement = counted(*results)

        assert measurement.failures == sum(result.code not in EXPECTED[result.request] for result in results)
        assert sum(measurement.reasons.values()) == measurement.failures

    def test_answers_are_counted_by_region_and_version(self) -> None:
        measurement = counted(ok("v1"), ok("v1"), ok("v2"), ok("v1", "region-b"))

        assert measurement.answered == {
            Origin("region-a", "v1"): Tally(2, 0),
            Origin("region-a", "v2"): Tally(1, 0),
            Origin("region-b", "v1"): Tally(1, 0),
        }

    def test_a_failure_that_names_its_version_is_that_versions(self) -> None:
        assert counted(fault("v2")).answered == {Origin("region-a", "v2"): Tally(1, 1)}

    def test_a_failure_without_a_name_is_unanswered(self) -> None:
        measurement = counted(other(503, "no healthy upstream", "503 Service Unavailable"), other(0, error="EOF"))

        assert measurement.unanswered == 2

    @pytest.mark.parametrize("word", ["ok", "fault"])
    def test_an_answer_that_broke_off_is_nobodys_failure(self, word: str) -> None:
        measurement = counted(other(0, f"{word} region=region-a version=v1", "unexpected EOF"))

        assert (measurement.failures, measurement.unanswered) == (1, 1)

    def test_a_failure_that_says_ok_was_not_said_by_echo(self) -> None:
        assert counted(other(500, "ok region=region-a version=v1", "500")).unanswered == 1

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "hello",
            "ok region=region-a",
            "ok region=region-a version=",
            "ok region=region-a version=v1 and more",
            "ok region=region-a version=\x1b[31mv1",
            "fault region=region-a version=v1",
            "<html>ok region=region-a version=v1</html>",
        ],
    )
    def test_a_success_that_is_not_echos_is_unreadable(self, body: str) -> None:
        measurement = counted(other(200, body))

        assert (measurement.unreadable, measurement.failures) == (1, 0)

    def test_samples_of_unreadable_answers_are_few_and_printable(self) -> None:
        measurement = counted(*[other(200, "\x1b]0;title\x07" + "é" * 1000)] * 10)

        assert len(measurement.samples) == 3
        assert all(sample.isascii() and sample.isprintable() for sample in measurement.samples)

    def test_reasons_do_not_depend_on_the_connections_ports(self) -> None:
        errors = [f'Get "http://echo/": read tcp 10.0.0.1:{port}->10.0.0.2:80: connection reset' for port in (1, 2)]

        assert counted(*(other(0, error=error) for error in errors)).reasons == {"connection reset": 2}

    def test_a_status_is_its_own_reason(self) -> None:
        assert counted(other(503, "no healthy upstream", "503 Service Unavailable")).reasons == {"HTTP 503": 1}

    def test_an_answer_without_words_is_the_chosen_versions(self) -> None:
        measurement = counted(page("v2"), page("v2", 502), page("v1"))

        assert measurement.answered == {Origin(REGION, "v1"): Tally(1, 0), Origin(REGION, "v2"): Tally(2, 1)}
        assert measurement.transitions == {("v2", "v2"): 1, ("v2", "v1"): 1}

    def test_a_proxys_own_error_counts_for_the_version_that_it_names(self) -> None:
        measurement = counted(page("v2", 503, upstream=False), page("v2", 503), page("", 503, upstream=False))

        assert (measurement.unanswered, measurement.by_proxies) == (1, 1)
        assert measurement.answered == {Origin(REGION, "v2"): Tally(2, 2)}
        assert measurement.reasons == {"HTTP 503": 2, "HTTP 503 by a proxy, for v2": 1}

    def test_a_proxys_own_success_is_unreadable(self) -> None:
        assert counted(page("v2", upstream=False)).unreadable == 1

    @pytest.mark.parametrize("subset", ["", "\x1b[31mv1", "v1 and more", "v1\n"])
    def test_a_header_that_is_no_name_names_nobody(self, subset: str) -> None:
        measurement = counted(page(subset), page(subset, 500))

        assert (measurement.answered, measurement.unreadable, measurement.unanswered) == ({}, 1, 1)
        assert measurement.reasons == {"HTTP 500": 1}

    def test_what_echo_says_counts_before_the_header(self) -> None:
        measurement = counted(
            replace(ok("v1", "region-b"), subset="v1", upstream=True),
            replace(ok("v1"), subset="v2", upstream=True),
            replace(fault("v1"), subset="v2", upstream=True),
            replace(ok("v2"), subset="v2", upstream=True),
        )

        assert measurement.answered == {
            Origin(REGION, "v1"): Tally(2, 1),
            Origin(REGION, "v2"): Tally(1, 0),
            Origin("region-b", "v1"): Tally(1, 0),
        }
        assert measurement.mislabelled == {("v2", "v1"): 2}

    def test_nothing_is_mislabelled_without_a_header_or_without_words(self) -> None:
        assert counted(ok("v1"), page("v1"), replace(ok("v1"), subset="v 2")).mislabelled == {}

    def test_a_status_is_a_failure_where_its_kind_does_not_expect_it(self) -> None:
        measurement = counted(page("v1", 404), page("v1", 404, request=1), page("v1", 200, request=1))

        assert measurement.answered == {Origin(REGION, "v1"): Tally(3, 2)}
        assert measurement.reasons == {"HTTP 404": 1, "HTTP 200": 1}

    def test_a_fault_of_echos_with_an_expected_status_is_no_failure(self) -> None:
        expected = replace(fault("v1"), code=503, request=1)

        assert counted(expected).answered == {Origin(REGION, "v1"): Tally(1, 0)}

    def test_transitions_are_of_answers_that_follow_on_one_another(self) -> None:
        measurement = counted(ok("v1"), ok("v1"), ok("v2"), ok("v1"), ok("v2"))

        assert measurement.transitions == {("v1", "v1"): 1, ("v1", "v2"): 2, ("v2", "v1"): 1}

    def test_transitions_hold_a_versions_failures_too(self) -> None:
        assert counted(ok("v1"), fault("v2")).transitions == {("v1", "v2"): 1}

    def test_transitions_pass_over_what_no_version_of_the_region_answered(self) -> None:
        measurement = counted(ok("v1"), other(503), ok("v3", "region-b"), other(200, "hello"), ok("v2"))

        assert measurement.transitions == {("v1", "v2"): 1}

    def test_versions_are_those_of_the_region(self) -> None:
        assert counted(ok("v1"), fault("v1"), ok("v1", "region-b")).versions == {"v1": Tally(2, 1)}


@pytest.mark.parametrize(
    ("latency_ms", "told"), [(0.51234, "0.512 ms"), (16.0, "16 ms"), (999.6, "1,000 ms"), (1234.5, "1,230 ms")]
)
def test_a_latency_is_told_to_three_digits(latency_ms: float, told: str) -> None:
    assert told_ms(latency_ms) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (119.0, "119 s"), (210.0, "3.5 min"), (15_000.0, "4.2 h"), (4.3e6, "1,200 h")]
)
def test_a_time_is_told_in_its_unit(seconds: float, told: str) -> None:
    assert told_seconds(seconds) == told
