"""What a look at clients' counters costs is told apart from what the cluster does anyway."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Event

import pytest

from bench import counting
from bench.counting import COLUMNS, Look, Turn, added, cells, inotify_instances, look, peak_megabytes, replicas, turn
from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.measurement import Coverage
from tests.rollout.cluster.fake_cluster import STDOUT, SUCCESS, Exec, FakeCluster, serving

ECHO = ServiceAddress("echo", "echo")
ALONE = Turn(30.0, {"cluster": 6.0, "Envoys": 3.0}, 40.0)
LOOKS = [Look(1.0, 0.5, 100, Coverage()), Look(1.5, 0.7, 90, Coverage(silent={"shop/a": "no answer"}))]
PATIENCE_SECONDS = 10.0
COUNTED = Turn(40.0, {"cluster": 10.0, "Envoys": 4.6}, 52.0, LOOKS)


def test_a_look_costs_what_exceeds_as_much_time_without_looks() -> None:
    assert added(ALONE, COUNTED) == pytest.approx({"rollout": 0.6, "cluster": 1.0, "Envoys": 0.3})


def test_a_row_has_a_cell_for_each_column_and_the_share_of_a_processor() -> None:
    row = cells(14, [(ALONE, COUNTED)], [80.0, 95.0])

    assert len(row) == len(COLUMNS.split("|"))
    assert row[:5] == ["14", "2", "1.25", "1.50", "14"]
    # 1.9 s of a processor for a look of 1.25 s and its pause of 12.5 s
    assert row[8] == "13.8%"
    assert row[9:] == ["20.0%", "10.0%", "95", "80", "52.0", "40.0", "1"]


def test_counters_without_requests_are_refused() -> None:
    empty = Turn(40.0, COUNTED.used, 52.0, [Look(1.0, 0.5, 0, Coverage())])
    with pytest.raises(SystemExit, match="none of 14 Envoys counted a request"):
        cells(14, [(ALONE, empty)], [80.0, 95.0])


class TestTurn:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counting, "SETTLE_SECONDS", 0.0)

    def test_tells_what_was_used_meanwhile(self) -> None:
        used = iter([{"cluster": 5.0}, {"cluster": 7.0}])

        found = turn(0.05, lambda: next(used), lambda: 30.0)

        assert (found.used, found.looks) == ({"cluster": 2.0}, [])
        assert found.seconds >= 0.05

    def test_rests_after_a_look_as_a_promotion_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[float] = []

        def rest_seconds(took_seconds: float) -> float:
            asked.append(took_seconds)
            return 0.01

        monkeypatch.setattr(counting, "rest_seconds", rest_seconds)

        found = turn(0.5, dict, lambda: 30.0, lambda: LOOKS[0])

        assert len(found.looks) > 1
        assert asked == [1.0] * len(found.looks)

    def test_lasts_until_a_look_is_over_and_tells_its_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counting, "_SAMPLE_SECONDS", 0.01)
        busy, sampled = Event(), Event()

        def memory() -> float:
            if not busy.is_set():
                return 30.0
            sampled.set()
            return 45.0

        def slow() -> Look:
            busy.set()
            assert sampled.wait(PATIENCE_SECONDS)
            busy.clear()
            return LOOKS[0]

        found = turn(0.01, dict, memory, slow)

        assert (found.megabytes, found.looks) == (45.0, [LOOKS[0]])


@pytest.mark.parametrize(("number", "free"), [(8, 94), (7, 94), (100, 91)])
def test_numbers_that_cannot_be_made_are_refused(number: int, free: int) -> None:
    with pytest.raises(SystemExit, match=rf"Choose --numbers from 9 to {8 + free}\."):
        replicas(number, 8, free)


def test_clients_make_up_for_what_the_lab_lacks() -> None:
    assert replicas(100, 8, 92) == 92


def test_more_sidecars_may_watch_files_until_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "max_user_instances"
    limit.write_text("128\n")
    monkeypatch.setattr(counting, "_INOTIFY", limit)

    def interrupted() -> None:
        with inotify_instances(100):
            assert limit.read_text() == "428"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert limit.read_text() == "128"


def _pod(name: str) -> dict[str, object]:
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": f"uid-of-{name}"},
        "spec": {"containers": [{"name": "istio-proxy", "args": ["proxy", "sidecar"]}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


@pytest.fixture
def region(tmp_path: Path) -> Iterator[RegionAccess]:
    """Two clients, to each of which v1 has answered ten requests more each time that it is asked."""
    asked = itertools.count(0)

    def answer(opened: Exec) -> None:
        counted = str(10 * (next(asked) // 2))
        stats = [{"name": name, "value": counted} for name in ("rq_total", "rq_success")]
        host = {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 8080}}, "stats": stats}
        cluster = {"name": "outbound|80|v1|echo.echo.svc.cluster.local", "host_statuses": [host]}
        opened.send(STDOUT, json.dumps({"cluster_statuses": [cluster]}).encode())
        opened.end(SUCCESS)

    cluster = FakeCluster(pods=[_pod("a"), _pod("b")], script=answer)
    with serving(cluster) as port:
        yield RegionAccess("region-a", "a", "ctx", cluster.kubeconfig(tmp_path / "kubeconfig", "ctx", port))


def test_looks_of_a_process_of_its_own_tell_their_requests_and_its_use(region: RegionAccess) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        before = process.submit(peak_megabytes).result()
        first, second = (process.submit(look, region, ECHO, False).result() for _ in range(2))
        after = process.submit(peak_megabytes).result()

    assert (first.requests, first.coverage.counted) == (0, frozenset())
    assert (second.requests, second.coverage.counted) == (20, frozenset({"shop/a", "shop/b"}))
    assert first.processor > 0 < second.processor
    assert 10 < before < after
