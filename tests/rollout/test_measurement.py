from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.measurement import Count, Measurement, Origin, Result, ResultLines, Tally, UnreadableLineError
from tests.rollout.answers import REGION, line, ok

RESULTS = st.builds(
    Result,
    code=st.sampled_from([0, 200, 503]),
    body=st.sampled_from(["ok region=region-a version=v1", "ok region=region-b version=v2\n", "hé\u2028\x00", ""]),
    error=st.sampled_from(["", "EOF", "503 Service Unavailable", ": "]),
)


def counted(*results: Result) -> Measurement:
    count = Count()
    for result in results:
        count.add(result)
    return count.measurement(REGION, planned=len(results), seconds=1.0)


class TestResultLines:
    @settings(max_examples=50, deadline=None)
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
            b'{"code":"abc","body":"","error":""}\n',
            b'{"code":200,"body":null,"error":""}\n',
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


class TestCount:
    @settings(max_examples=50, deadline=None)
    @given(st.lists(RESULTS, max_size=10))
    def test_every_request_is_counted_exactly_once(self, results: list[Result]) -> None:
        assert counted(*results).requests == len(results)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(RESULTS, max_size=10))
    def test_every_failure_is_counted_exactly_once_and_has_a_reason(self, results: list[Result]) -> None:
        measurement = counted(*results)

        assert measurement.failures == sum(result.failed for result in results)
        assert sum(measurement.reasons.values()) == measurement.failures

    def test_answers_are_counted_by_region_and_version(self) -> None:
        measurement = counted(ok("v1"), ok("v1"), ok("v2"), ok("v1", "region-b"))

        assert measurement.answered == {
            Origin("region-a", "v1"): Tally(2, 0),
            Origin("region-a", "v2"): Tally(1, 0),
            Origin("region-b", "v1"): Tally(1, 0),
        }

    def test_a_failure_that_names_its_version_is_that_versions(self) -> None:
        measurement = counted(Result(500, "ok region=region-a version=v2", "500 Internal Server Error"))

        assert measurement.answered == {Origin("region-a", "v2"): Tally(1, 1)}

    def test_a_failure_without_a_name_is_unanswered(self) -> None:
        measurement = counted(Result(503, "no healthy upstream", "503 Service Unavailable"), Result(0, "", "EOF"))

        assert measurement.unanswered == 2

    def test_an_answer_that_broke_off_is_a_failure_whatever_its_code(self) -> None:
        assert counted(Result(200, "", "unexpected EOF")).failures == 1

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "hello",
            "ok region=region-a",
            "ok region=region-a version=",
            "ok region=region-a version=v1 and more",
            "ok region=region-a version=\x1b[31mv1",
            "<html>ok region=region-a version=v1</html>",
        ],
    )
    def test_a_success_that_is_not_echos_is_unreadable(self, body: str) -> None:
        measurement = counted(Result(200, body, ""))

        assert (measurement.unreadable, measurement.failures) == (1, 0)

    def test_samples_of_unreadable_answers_are_few_and_printable(self) -> None:
        measurement = counted(*[Result(200, "\x1b]0;title\x07" + "é" * 1000, "")] * 10)

        assert len(measurement.samples) == 3
        assert all(sample.isascii() and sample.isprintable() for sample in measurement.samples)

    def test_reasons_do_not_depend_on_the_connections_ports(self) -> None:
        errors = [f'Get "http://echo/": read tcp 10.0.0.1:{port}->10.0.0.2:80: connection reset' for port in (1, 2)]

        assert counted(*(Result(0, "", error) for error in errors)).reasons == {"connection reset": 2}

    def test_a_status_is_its_own_reason(self) -> None:
        assert counted(Result(503, "no healthy upstream", "503 Service Unavailable")).reasons == {"HTTP 503": 1}
