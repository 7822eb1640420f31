from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout.access import RegionAccess
from rollout.measurement import Measurement, Origin, Result, Tally
from rollout.problem import Problem, RolloutError
from rollout.traffic.attack import Attack
from rollout.traffic.probe import connect, count_results
from stackfile.model import RequestConfig
from tests.rollout.answers import drawn, line, numbered, ok, other, page
from tests.rollout.cluster.fake_cluster import STDERR, STDOUT, SUCCESS, Exec, FakeCluster, exit_status, pod, serving
from tests.rollout.traffic.sources import Given

URL = "http://echo.echo.svc.cluster.local/"
REGION = RegionAccess("region-a", "region-a", "ctx")


def measured_by(cluster: FakeCluster, directory: Path, requests: int = 3) -> Measurement:
    with serving(cluster) as port:
        probe = connect(region_at(cluster, directory, port))
        return count_results(probe, Attack(URL, requests, rate=100), threading.Event(), lambda _so_far: False)


def region_at(cluster: FakeCluster, directory: Path, port: int) -> RegionAccess:
    return RegionAccess("region-a", "region-a", "ctx", cluster.kubeconfig(directory / "kubeconfig", "ctx", port))


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(RolloutError) as refused:
        action()
    return refused.value.problems[0].what


def lines(*results: Result) -> bytes:
    """What the probe writes of requests sent in this order."""
    return b"".join(map(line, numbered(*results)))


def says(*chunks: bytes, status: dict[str, Any] = SUCCESS, complaint: bytes = b"") -> Callable[[Exec], None]:
    """A probe that writes these chunks and ends."""

    def script(exec_: Exec) -> None:
        for chunk in chunks:
            exec_.send(STDOUT, chunk)
        if complaint:
            exec_.send(STDERR, complaint)
        exec_.end(status)

    return script


class TestMeasure:
    def test_counts_what_the_probe_says(self, tmp_path: Path) -> None:
        cluster = FakeCluster(script=says(lines(ok("v1"), ok("v2"), other(503, error="503 No"))))

        measurement = measured_by(cluster, tmp_path)

        assert measurement.answered == {Origin("region-a", "v1"): Tally(1, 0), Origin("region-a", "v2"): Tally(1, 0)}
        assert (measurement.unanswered, measurement.interruption) == (1, "")

    def test_reads_lines_that_frames_cut_within_characters(self, tmp_path: Path) -> None:
        text = (
            json.dumps({"seq": 0, "code": 200, "body": "é", "error": "", "at_ns": 1}, ensure_ascii=False).encode()
            + b"\n"
        )
        cut = text.index("é".encode()) + 1
        cluster = FakeCluster(script=says(text[:cut], text[cut:]))

        assert measured_by(cluster, tmp_path, requests=1).samples == ("\\xe9",)

    def test_runs_the_attack_with_an_open_stdin(self, tmp_path: Path) -> None:
        cluster = FakeCluster(script=says(lines(*[ok()] * 3)))

        measured_by(cluster, tmp_path)

        assert cluster.paths[-1] == "/api/v1/namespaces/echo-probe/pods/probe-1/exec"
        query = cluster.queries[-1]
        assert query["container"] == ["probe"]
        assert query["stdin"] == ["true"]
        assert query["command"] == (f"/probe attack --url {URL} --rate 100 --requests 3 --workers 3".split())

    @pytest.mark.parametrize(
        ("script", "interruption"),
        [
            (says(line(ok())), "ended early after 1 of 3 results"),
            (
                says(line(ok()), status=exit_status(137), complaint=b"Killed\n"),
                "ended with code 137 after 1 of 3 results, and said: Killed",
            ),
            (says(lines(*[ok()] * 3), status=exit_status(1)), "ended with code 1 after 3 of 3 results"),
            (lambda exec_: exec_.send(STDOUT, line(ok())), "lost its connection after 1 of 3 results"),
            (
                says(line(ok()), b"goroutine 1 [running]:\n"),
                "wrote a line that is not a result: goroutine 1 [running]:",
            ),
            (says(line(ok()), b'{"code":'), 'wrote an unfinished line: {"code":'),
            (
                says(line(ok()), status={"status": "Failure", "message": "no such container"}),
                "failed (no such container) after 1 of 3 results",
            ),
        ],
    )
    def test_a_probe_that_ends_badly_gives_what_it_had_and_why(
        self, tmp_path: Path, script: Callable[[Exec], None], interruption: str
    ) -> None:
        measurement = measured_by(FakeCluster(script=script), tmp_path)

        assert measurement.interruption == f"region-a: probe pod echo-probe/probe-1 {interruption}"
        assert measurement.requests >= 1

    def test_a_probe_that_ends_before_the_first_result_is_a_problem(self, tmp_path: Path) -> None:
        cluster = FakeCluster(
            script=says(status=exit_status(2), complaint=b"probe attack: cannot start:\nno such plan\n")
        )

        assert refusal(lambda: measured_by(cluster, tmp_path)) == (
            "region-a: probe pod echo-probe/probe-1 ended with code 2 after 0 of 3 results, "
            "and said: probe attack: cannot start: no such plan"
        )

    def test_of_a_probe_that_is_older_it_is_said_that_it_must_be_raised(self, tmp_path: Path) -> None:
        complaint = b"probe attack: cannot start: flag provided but not defined: -version-header\n"

        with pytest.raises(RolloutError) as caught:
            measured_by(FakeCluster(script=says(status=exit_status(2), complaint=complaint)), tmp_path)

        assert "older than this program" in caught.value.problems[0].fix

    def test_an_exec_that_is_refused_is_a_problem(self, tmp_path: Path) -> None:
        assert "exec in echo-probe/probe-1 was refused" in refusal(
            lambda: measured_by(FakeCluster(refuse_exec=403), tmp_path)
        )


class TestCountResults:
    """Of a source that is asked for more requests than are needed."""

    def counted(self, source: Given, requests: int, enough: Callable[[Measurement], bool]) -> Measurement:
        return count_results(source, Attack(URL, requests, 500), threading.Event(), enough)

    def test_is_asked_after_every_10_requests_whether_it_is_enough(self) -> None:
        looks: list[int] = []

        def enough(so_far: Measurement) -> bool:
            looks.append(so_far.requests)
            return False

        self.counted(Given(REGION, drawn({"v1": 20, "v2": 5})), 25, enough)

        assert looks == [10, 20]

    def test_ends_the_sending_when_it_is_enough_and_calls_that_no_interruption(self) -> None:
        source = Given(REGION, drawn({"v1": 900, "v2": 100}))

        measurement = self.counted(source, 1_000, lambda so_far: so_far.requests >= 30)

        assert (source.taken, source.was_left) == (30, True)
        assert (measurement.requests, measurement.planned, measurement.interruption) == (30, 1_000, "")

    def test_counts_nothing_that_was_sent_after_a_request_under_way(self) -> None:
        # v2 answers late: request 12 comes after 18 others that were sent later
        answers = [ok("v2" if number == 12 else "v1", sequence=number) for number in range(31)]
        source = Given(REGION, [*answers[:12], *answers[13:], answers[12]])

        measurement = self.counted(source, 31, lambda so_far: so_far.requests >= 20)

        assert source.taken == 31
        assert {version: tally.requests for version, tally in measurement.versions.items()} == {"v1": 19, "v2": 1}

    def test_keeps_what_came_before_an_end_that_is_no_decision(self) -> None:
        source = Given(REGION, drawn({"v1": 12}), dies=RolloutError(Problem("the probe died")))

        measurement = self.counted(source, 1_000, lambda _so_far: False)

        assert (measurement.requests, measurement.interruption) == (12, "the probe died")

    def test_counts_as_the_attack_expects(self) -> None:
        attack = Attack(URL, 4, 500, (RequestConfig(), RequestConfig(expected_status=(404,))), "x-rollout-version")
        source = Given(REGION, [page("v1"), page("v2", 404, request=1), page("v1", 404), page("v2", 200, request=1)])

        measurement = count_results(source, attack, threading.Event(), lambda _so_far: False)

        assert measurement.versions == {"v1": Tally(2, 1), "v2": Tally(2, 1)}


class TestStopping:
    @pytest.fixture
    def endless(self) -> FakeCluster:
        """A probe that sends one result and then waits for its stdin to close."""

        def script(exec_: Exec) -> None:
            exec_.send(STDOUT, line(ok()))
            if exec_.wait_until_client_goes():
                cluster.client_went.set()

        cluster = FakeCluster(script=script)
        return cluster

    def test_a_stop_closes_the_probes_stdin(self, endless: FakeCluster, tmp_path: Path) -> None:
        stop = threading.Event()
        with serving(endless) as port:
            results = connect(region_at(endless, tmp_path, port)).results(Attack(URL, 3_000, 500), stop)
            next(results)
            stop.set()
            with pytest.raises(RolloutError, match="was stopped"):
                next(results)

            assert endless.client_went.wait(5)

    def test_leaving_the_results_early_closes_the_probes_stdin(self, endless: FakeCluster, tmp_path: Path) -> None:
        with serving(endless) as port:
            for _result in connect(region_at(endless, tmp_path, port)).results(
                Attack(URL, 3_000, 500), threading.Event()
            ):
                break

            assert endless.client_went.wait(5)

    def test_a_decision_closes_the_probes_stdin_at_once(self, tmp_path: Path) -> None:
        def script(exec_: Exec) -> None:
            exec_.send(STDOUT, lines(*[ok()] * 10))
            if exec_.wait_until_client_goes():
                cluster.client_went.set()

        cluster = FakeCluster(script=script)
        with serving(cluster) as port:
            source = connect(region_at(cluster, tmp_path, port))
            measurement = count_results(source, Attack(URL, 3_000, 500), threading.Event(), lambda _so_far: True)

            assert (measurement.requests, measurement.interruption) == (10, "")
            assert cluster.client_went.wait(5)

    def test_a_probe_that_is_not_done_in_time_is_stopped(
        self, endless: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rollout.traffic.attack._SLACK_SECONDS", 0.0)

        measurement = measured_by(endless, tmp_path)

        assert "was not done after 0 s" in measurement.interruption
        assert endless.client_went.is_set()


class TestConnect:
    def test_takes_a_pod_that_is_ready(self, tmp_path: Path) -> None:
        cluster = FakeCluster(pods=[pod("a", ready=False), pod("b", deleted=True), pod("d"), pod("c")])

        with serving(cluster) as port:
            assert connect(region_at(cluster, tmp_path, port)).pod == "c"
        assert cluster.queries[0]["labelSelector"] == ["app=probe"]

    def test_outside_the_mesh_it_takes_no_pod_that_is_in_it(self, tmp_path: Path) -> None:
        cluster = FakeCluster(pods=[])

        with serving(cluster) as port, pytest.raises(RolloutError, match=r"where the stack file has a gateway: pulumi"):
            connect(region_at(cluster, tmp_path, port), outside=True)
        assert cluster.queries[0]["labelSelector"] == ["app=probe-outside"]

    @pytest.mark.parametrize(
        ("pods", "state"),
        [
            ([], "there is none"),
            ([pod("p", ready=False)], "p is Pending (not ready)"),
            ([pod("p", ready=False, waiting="ImagePullBackOff")], "p is Pending (probe: ImagePullBackOff)"),
            ([pod("p", deleted=True)], "p is being deleted"),
        ],
    )
    def test_no_ready_pod_is_told_with_what_there_is(
        self, tmp_path: Path, pods: list[dict[str, Any]], state: str
    ) -> None:
        cluster = FakeCluster(pods=pods)

        assert refusal(lambda: measured_by(cluster, tmp_path)) == (
            f"region-a: no ready pod app=probe in namespace echo-probe of context ctx: {state}"
        )

    def test_no_pod_at_all_names_the_command_that_brings_one(self, tmp_path: Path) -> None:
        with pytest.raises(RolloutError, match="pulumi up -s region-a"):
            measured_by(FakeCluster(pods=[]), tmp_path)

    def test_a_cluster_that_refuses_is_told(self, tmp_path: Path) -> None:
        assert "refused to list pods in echo-probe: 403 Forbidden" in refusal(
            lambda: measured_by(FakeCluster(refuse_list=403), tmp_path)
        )

    def test_a_cluster_that_does_not_answer_is_told(self, tmp_path: Path) -> None:
        cluster = FakeCluster()
        with serving(cluster) as port:
            region = region_at(cluster, tmp_path, port)

        assert "the cluster of context ctx does not answer" in refusal(lambda: connect(region))

    def test_a_context_that_is_not_there_is_told_with_those_that_are(self, tmp_path: Path) -> None:
        kubeconfig = FakeCluster().kubeconfig(tmp_path / "kubeconfig", "other", 1)

        assert refusal(lambda: connect(RegionAccess("region-a", "region-a", "ctx", kubeconfig))) == (
            f"region-a: {kubeconfig} has no context ctx; it has: other"
        )

    @pytest.mark.parametrize("text", [None, "", "a: [", "kind: Config"])
    def test_a_kubeconfig_that_cannot_be_used_is_told(self, tmp_path: Path, text: str | None) -> None:
        kubeconfig = tmp_path / "kubeconfig"
        if text is not None:
            kubeconfig.write_text(text)

        assert f"{kubeconfig} cannot be used" in refusal(
            lambda: connect(RegionAccess("region-a", "region-a", "ctx", kubeconfig))
        )
