"""A commit is there when Argo CD has synced it and every Envoy has taken it, and not before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.cluster import acknowledgement
from rollout.cluster.application import Application, parse_application
from rollout.cluster.envoys import Envoy
from rollout.cluster.objects import Route
from rollout.cluster.syncz import Counters, Proxy
from rollout.git.repository import Repository
from rollout.problem import Problem, RolloutError
from rollout.promote import delivery as delivery_module
from rollout.promote.delivery import DeliveryTime, await_commit, brings, deliver, lacks, takes
from tests.rollout.cluster.applications import NEW, OLD, application, refused, well
from tests.rollout.cluster.sidecars import sidecar
from tests.rollout.promote.two_clones import TwoClones, new_two_clones

REGION = RegionAccess("region-a", "region-a", "region-a")
ECHO = ServiceAddress("echo", "echo")
WANTED = {"v1": 90, "v2": 10}


def envoy(pod: str, v1: int, v2: int) -> Envoy:
    routed = {version: weight for version, weight in (("v1", v1), ("v2", v2)) if weight}
    return Envoy(f"echo/{pod}", routed, frozenset({"v1", "v2"}))


def _name(pod: dict[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _pod(name: str) -> dict[str, Any]:
    found = sidecar(name.partition("/")[2])
    found["metadata"]["uid"] = f"uid of {name}"
    return found


class Cluster:
    """What a cluster answers, one answer after the other; the last one from then on."""

    def __init__(self, applications: Iterable[Application], envoys: Iterable[Collection[Envoy]]) -> None:
        self.applications = list(applications)
        self.envoys = list(envoys)
        self.asked: list[str] = []
        self.looks: list[set[str]] = []
        self.others: list[dict[str, Any]] = []

    def ask_to_look(self, _region: RegionAccess, name: str) -> None:
        self.asked.append(name)

    def read_application(self, _region: RegionAccess, _name: str) -> Application:
        return self.applications.pop(0) if len(self.applications) > 1 else self.applications[0]

    def list_all_pods(self, _region: RegionAccess, _api: object) -> list[dict[str, Any]]:
        return [_pod(envoy.pod) for envoy in self.envoys[0]] + self.others

    def read_envoys(
        self, _region: RegionAccess, services: Sequence[ServiceAddress], pods: Sequence[dict[str, Any]]
    ) -> dict[str, tuple[Envoy, ...]]:
        """What has no route is not in an answer."""
        (service,) = services
        names = {_name(pod) for pod in pods}
        self.looks.append(names)
        now = self.envoys.pop(0) if len(self.envoys) > 1 else self.envoys[0]
        return {service.name: tuple(envoy for envoy in now if envoy.pod in names and (envoy.weights or envoy.error))}


Delivered = DeliveryTime | Problem
Run = Callable[..., Delivered]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Waits until such a cluster has been brought to NEW and splits as wanted."""
    monkeypatch.setattr(delivery_module, "_LOOK_EVERY_SECONDS", 0)

    def delivered(
        cluster: Cluster,
        meanwhile: Callable[[], Problem | None] = lambda: None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> Delivered:
        for name in ("ask_to_look", "read_application", "read_envoys", "list_all_pods"):
            monkeypatch.setattr(delivery_module, name, getattr(cluster, name))
        monkeypatch.setattr(delivery_module, "api_client", lambda _region: None)
        return deliver(
            REGION,
            ECHO,
            "argocd/echo",
            lambda one: one.synced_revision == NEW,
            takes(WANTED, ()),
            meanwhile=meanwhile,
            say=say,
        )

    return delivered


SYNCED = parse_application(well(NEW))
NOT_SYNCED = parse_application(well(OLD))
UNHEALTHY = parse_application(application(sync={"status": "Synced", "revision": NEW}, health={"status": "Degraded"}))


def test_argocd_is_asked_to_look(run: Run) -> None:
    cluster = Cluster([SYNCED], [[envoy("a", 90, 10)]])

    run(cluster)

    assert cluster.asked == ["argocd/echo"]


def test_is_there_when_all_envoys_have_taken_it(run: Run) -> None:
    behind = [envoy("a", 90, 10), envoy("b", 100, 0)]
    taken = [envoy("a", 90, 10), envoy("b", 90, 10)]
    cluster = Cluster([NOT_SYNCED, UNHEALTHY, SYNCED], [behind, behind, taken])

    delivery = run(cluster)

    assert isinstance(delivery, DeliveryTime)
    assert delivery.envoys == 2
    assert 0 <= delivery.synced <= delivery.acknowledged
    # only those that were behind are asked again
    assert cluster.looks == [{"echo/a", "echo/b"}, {"echo/b"}, {"echo/b"}, set()]


def test_an_envoy_that_came_meanwhile_counts_as_well(run: Run) -> None:
    old, new, ready = envoy("a", 90, 10), envoy("b", 100, 0), envoy("b", 90, 10)
    cluster = Cluster([SYNCED], [[old], [old, new], [old, ready]])

    delivery = run(cluster)

    assert isinstance(delivery, DeliveryTime)
    assert delivery.envoys == 2
    assert cluster.looks == [{"echo/a"}, {"echo/b"}, {"echo/b"}, set()]


def test_an_envoy_that_took_it_long_ago_is_asked_once_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "_SURE_SECONDS", -1)
    old, new = envoy("a", 100, 0), envoy("a", 90, 10)
    late, there = envoy("b", 100, 0), envoy("b", 90, 10)
    cluster = Cluster([SYNCED], [[new, late], [new, there], [old, there], [new, there], [new, there]])

    delivery = run(cluster)

    assert isinstance(delivery, DeliveryTime)
    assert delivery.envoys == 2
    assert cluster.looks == [{"echo/a", "echo/b"}, {"echo/b"}, {"echo/a", "echo/b"}, {"echo/a"}, {"echo/a", "echo/b"}]


def test_an_envoy_that_could_not_send_is_asked_once_more(run: Run) -> None:
    taken, without_route, late = envoy("a", 90, 10), Envoy("echo/b"), envoy("b", 100, 0)
    cluster = Cluster([SYNCED], [[taken, without_route], [taken, late], [taken, envoy("b", 90, 10)]])

    delivery = run(cluster)

    assert isinstance(delivery, DeliveryTime)
    assert delivery.envoys == 2


def test_an_envoy_that_cannot_send_is_not_asked_while_another_lags(run: Run) -> None:
    late, there, without_route = envoy("a", 100, 0), envoy("a", 90, 10), Envoy("echo/b")
    cluster = Cluster([SYNCED], [[late, without_route], [late, without_route], [there, without_route]])

    run(cluster)

    assert cluster.looks == [{"echo/a", "echo/b"}, {"echo/a"}, {"echo/a"}, {"echo/b"}]


def test_an_envoy_that_came_anew_under_its_old_name_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([SYNCED], [[envoy("a", 90, 10), envoy("b", 100, 0)], [envoy("a", 100, 0)], [envoy("a", 90, 10)]])
    listed = cluster.list_all_pods

    def replaced(region: RegionAccess, api: object) -> list[dict[str, Any]]:
        pods = listed(region, api)
        if cluster.looks:
            pods[0]["metadata"]["uid"] = "another"
        return pods

    monkeypatch.setattr(cluster, "list_all_pods", replaced)

    run(cluster)

    assert cluster.looks == [{"echo/a", "echo/b"}, {"echo/a"}, {"echo/a"}, set()]


def test_pods_without_a_proxy_or_not_ready_are_not_asked(run: Run) -> None:
    cluster = Cluster([SYNCED], [[envoy("a", 90, 10)]])
    plain = _pod("echo/plain")
    plain["spec"] = {"containers": [{"name": "echo"}]}
    cluster.others = [plain, {**sidecar("new", ready=False)}]

    run(cluster)

    assert cluster.looks == [{"echo/a"}, set()]


def test_one_that_may_not_be_asked_is_told_at_once_and_waited_for(run: Run) -> None:
    refused = Envoy("echo/b", error="exec was refused: 403 no", refused=True)
    cluster = Cluster([SYNCED], [[envoy("a", 90, 10), refused]] * 3 + [[envoy("a", 90, 10), envoy("b", 90, 10)]])
    said: list[str] = []

    delivery = run(cluster, say=said.append)

    assert isinstance(delivery, DeliveryTime)
    assert said == ["region-a: echo/b may not be asked (exec was refused: 403 no), so nobody knows what it has taken"]


def test_one_that_may_not_be_asked_is_told_with_its_reason_when_it_is_late(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "WITHIN_SECONDS", -60)
    refused = Envoy("echo/b", error="exec was refused: 403 no", refused=True)

    missing = run(Cluster([SYNCED], [[envoy("a", 100, 0), refused]]))

    assert "by 2 Envoys: echo/a, echo/b (exec was refused: 403 no)" in str(missing)


@pytest.mark.parametrize("envoys", [[envoy("a", 100, 0)], [Envoy("echo/a", error="connection refused")], []])
def test_what_is_not_taken_in_time_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, envoys: Collection[Envoy]
) -> None:
    monkeypatch.setattr(delivery_module, "WITHIN_SECONDS", -60)

    missing = run(Cluster([SYNCED], [envoys]))

    assert f"not acknowledged within -1 min by {f'{len(envoys)} Envoys' if envoys else 'any Envoy'}" in str(missing)


@pytest.mark.parametrize("answer", [NOT_SYNCED, UNHEALTHY])
def test_what_is_not_synced_in_time_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, answer: Application) -> None:
    monkeypatch.setattr(delivery_module, "WITHIN_SECONDS", -60)

    missing = str(run(Cluster([answer], [[]])))

    assert missing.startswith("region-a: not synced within -1 min: ")
    assert f" at {answer.synced_revision}" in missing


@pytest.mark.parametrize(
    "cluster", [Cluster([NOT_SYNCED], [[]]), Cluster([SYNCED], [[envoy("a", 100, 0)]])], ids=["sync", "envoys"]
)
def test_a_doubt_meanwhile_ends_the_waiting(
    run: Callable[[Cluster, Callable[[], Problem | None]], Delivered], cluster: Cluster
) -> None:
    assert run(cluster, lambda: Problem("doubted")) == Problem("doubted")


class OfMany(Cluster):
    """Sixty Envoys of which istiod tells, one of them late."""

    def __init__(self, *, witnesses: bool = True) -> None:
        super().__init__([NOT_SYNCED, SYNCED], [[envoy(f"e{number:02}", 100, 0) for number in range(60)]])
        self.witnesses, self.number, self.late = witnesses, 7, {"echo/e59"}
        self.asked_of_istiod: list[str] = []

    def read_application(self, region: RegionAccess, name: str) -> Application:
        found = super().read_application(region, name)
        if found is SYNCED:
            self.number = 8
        return found

    def read_route(self, _region: RegionAccess, _service: ServiceAddress) -> Route:
        return Route({"v1": 100}, None)

    def read_proxies(self, _region: RegionAccess) -> dict[str, dict[str, Proxy]]:
        self.asked_of_istiod.append("proxies")
        if not self.witnesses:
            raise RolloutError.of("region-a: istio-system/x-1 cannot be asked for its proxies: 403")
        return {
            "istio-system/x-1": {
                each.pod: Proxy(*[f"now/{7 if each.pod in self.late else self.number}{0:036d}"] * 2)
                for each in self.envoys[0]
            }
        }

    def read_counters(self, _region: RegionAccess) -> dict[str, Counters]:
        self.asked_of_istiod.append("counters")
        return {"istio-system/x-1": Counters("1")}

    def read_envoys(
        self, region: RegionAccess, services: Sequence[ServiceAddress], pods: Sequence[dict[str, Any]]
    ) -> dict[str, tuple[Envoy, ...]]:
        self.envoys = [[envoy(each.pod[5:], 90, 10) if self.number == 8 else each for each in self.envoys[0]]]
        return super().read_envoys(region, services, pods)


class TestMany:
    def delivered(
        self,
        run: Run,
        monkeypatch: pytest.MonkeyPatch,
        cluster: OfMany,
        said: list[str],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Delivered:
        for name in ("read_route", "read_proxies", "read_counters"):
            monkeypatch.setattr(delivery_module, name, getattr(cluster, name))
        return run(cluster, meanwhile, say=said.append)

    def test_are_believed_from_the_witness_on_and_the_others_asked(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(acknowledgement, "_PATIENCE_SECONDS", -1)
        cluster = OfMany()

        delivery = self.delivered(run, monkeypatch, cluster, [])

        assert isinstance(delivery, DeliveryTime)
        assert delivery.envoys == 60
        candidates = {"echo/e00", "echo/e01", "echo/e02"}
        assert cluster.looks == [candidates, candidates, {"echo/e59"}]

    def test_one_of_which_istiod_is_about_to_tell_is_waited_for(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster = OfMany()
        looked: list[str] = []

        def meanwhile() -> None:
            looked.append("")
            if len(looked) > 2:
                cluster.late.clear()

        delivery = self.delivered(run, monkeypatch, cluster, [], meanwhile)

        assert isinstance(delivery, DeliveryTime)
        assert {"echo/e59"} not in cluster.looks

    def test_are_asked_each_where_istiod_does_not_answer(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[str] = []
        cluster = OfMany(witnesses=False)

        delivery = self.delivered(run, monkeypatch, cluster, said)

        assert isinstance(delivery, DeliveryTime)
        assert said == [
            "region-a: each Envoy is asked, which takes longer: region-a: istio-system/x-1 cannot be asked for its proxies: 403"
        ]
        assert cluster.looks[0] == {each.pod for each in cluster.envoys[0]}


class TestBrings:
    @pytest.fixture
    def clones(self, tmp_path: Path) -> TwoClones:
        return new_two_clones(tmp_path)

    @pytest.fixture(autouse=True)
    def _cluster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Has what was wanted, as the API server tells it."""
        self.route: Route | None = Route({"v1": 90, "v2": 10}, None)
        monkeypatch.setattr(delivery_module, "read_route", lambda _region, _service: self.route)

    def is_there(self, clones: TwoClones, commit: str, document: dict[str, Any]) -> bool:
        upstream = clones.upstream()
        is_there = brings(
            REGION, ECHO, upstream.repository.project, upstream.contains, commit=commit, weights={"v1": 90, "v2": 10}
        )
        return is_there(parse_application(document))

    def test_the_commit_itself(self, clones: TwoClones) -> None:
        commit = clones.somebody_weighs("region-a", v1=90, v2=10)

        assert self.is_there(clones, commit, well(commit))

    def test_not_the_one_before(self, clones: TwoClones) -> None:
        before = clones.tip
        commit = clones.somebody_weighs("region-a", v1=90, v2=10)

        assert not self.is_there(clones, commit, well(before))

    def test_a_later_one_that_says_the_same_and_is_not_here_yet(self, clones: TwoClones) -> None:
        commit = clones.somebody_weighs("region-a", v1=90, v2=10)

        assert self.is_there(clones, commit, well(clones.somebody_writes()))

    def test_not_a_later_one_that_says_something_else(self, clones: TwoClones) -> None:
        commit = clones.somebody_weighs("region-a", v1=90, v2=10)

        assert not self.is_there(clones, commit, well(clones.somebody_weighs("region-a", v1=80, v2=20)))

    def test_not_while_argocd_is_about_to_look(self, clones: TwoClones) -> None:
        commit = clones.somebody_weighs("region-a", v1=90, v2=10)
        document = well(commit)
        document["metadata"]["annotations"] = {"argocd.argoproj.io/refresh": "normal"}

        assert not self.is_there(clones, commit, document)

    @pytest.mark.parametrize("route", [Route({"v1": 100}, None), Route(None, None, "two routes"), None])
    def test_not_while_the_cluster_has_something_else_whatever_argocd_says(
        self, clones: TwoClones, route: Route | None
    ) -> None:
        commit = clones.somebody_weighs("region-a", v1=90, v2=10)
        self.route = route

        assert not self.is_there(clones, commit, well(commit))

    def test_a_weight_of_0_is_no_difference(self, clones: TwoClones) -> None:
        self.route = Route({"v1": 100}, None)
        upstream = clones.upstream()
        is_there = brings(
            REGION,
            ECHO,
            upstream.repository.project,
            upstream.contains,
            commit=clones.tip,
            weights={"v1": 100, "v2": 0},
        )

        assert is_there(parse_application(well(clones.tip)))


class TestAwaitCommit:
    """With a clone as a workflow has it: only what Argo CD has and the clone lacks is fetched."""

    @pytest.fixture
    def clones(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TwoClones:
        monkeypatch.setattr(delivery_module, "_LOOK_EVERY_SECONDS", 0)
        monkeypatch.setattr(delivery_module, "read_route", lambda _region, _service: Route({"v1": 90, "v2": 10}, None))
        return new_two_clones(tmp_path)

    def awaited(
        self,
        monkeypatch: pytest.MonkeyPatch,
        clones: TwoClones,
        commit: str,
        *synced: str,
        envoys: Sequence[Sequence[Envoy]] = ((envoy("a", 90, 10),),),
    ) -> Delivered:
        """Where Argo CD has these commits one after the other, and the Envoys what it has."""
        self.cluster = Cluster([parse_application(well(each)) for each in synced], envoys)
        for name in ("ask_to_look", "read_application", "read_envoys", "list_all_pods"):
            monkeypatch.setattr(delivery_module, name, getattr(self.cluster, name))
        monkeypatch.setattr(delivery_module, "api_client", lambda _region: None)
        self.fetched: list[str] = []
        repository = Repository(clones.colleague.directory)
        return await_commit(REGION, ECHO, "argocd/echo", repository, commit, fetch=self.fetched.append)

    def test_waits_for_the_commit_and_not_for_the_one_before(
        self, monkeypatch: pytest.MonkeyPatch, clones: TwoClones
    ) -> None:
        before, commit = clones.tip, clones.somebody_weighs("region-a", v1=90, v2=10)

        found = self.awaited(monkeypatch, clones, commit, before, before, before, commit)

        assert isinstance(found, DeliveryTime)
        assert self.cluster.applications == [parse_application(well(commit))]

    def test_takes_a_later_one_that_says_the_same(self, monkeypatch: pytest.MonkeyPatch, clones: TwoClones) -> None:
        commit = clones.somebody_weighs("region-a", v1=90, v2=10)

        assert isinstance(self.awaited(monkeypatch, clones, commit, clones.somebody_writes()), DeliveryTime)

    def test_takes_a_later_one_with_other_weights_once_the_envoys_have_these(
        self, monkeypatch: pytest.MonkeyPatch, clones: TwoClones
    ) -> None:
        commit, later = (clones.somebody_weighs("region-a", v1=100 - weight, v2=weight) for weight in (25, 10))

        assert isinstance(self.awaited(monkeypatch, clones, commit, later), DeliveryTime)

    @staticmethod
    def route_changes(monkeypatch: pytest.MonkeyPatch) -> None:
        """From 75/25 to 90/10 after the first look."""
        routes = [Route({"v1": 75, "v2": 25}, None)]
        monkeypatch.setattr(
            delivery_module,
            "read_route",
            lambda _region, _service: routes.pop() if routes else Route({"v1": 90, "v2": 10}, None),
        )

    def test_takes_one_that_comes_while_the_envoys_are_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, clones: TwoClones
    ) -> None:
        commit, later = (clones.somebody_weighs("region-a", v1=100 - weight, v2=weight) for weight in (25, 10))
        self.route_changes(monkeypatch)

        assert isinstance(self.awaited(monkeypatch, clones, commit, commit, commit, later), DeliveryTime)

    def test_counts_no_envoy_for_a_later_one_that_took_the_one_before(
        self, monkeypatch: pytest.MonkeyPatch, clones: TwoClones
    ) -> None:
        commit, later = (clones.somebody_weighs("region-a", v1=100 - weight, v2=weight) for weight in (25, 10))
        self.route_changes(monkeypatch)
        looks = [
            [envoy("a", 75, 25), envoy("b", 100, 0)],
            [envoy("a", 75, 25), envoy("b", 90, 10)],
            [envoy("a", 90, 10), envoy("b", 90, 10)],
        ]
        found = self.awaited(monkeypatch, clones, commit, commit, commit, later, envoys=looks)

        assert isinstance(found, DeliveryTime)
        assert [names for names in self.cluster.looks if "echo/a" in names] == [
            {"echo/a", "echo/b"},
            {"echo/a", "echo/b"},
            {"echo/a"},
        ]

    def test_ends_where_argocd_has_a_commit_that_cannot_be_fetched(
        self, monkeypatch: pytest.MonkeyPatch, clones: TwoClones
    ) -> None:
        with pytest.raises(RolloutError, match=f"what Argo CD has, {NEW}: there is no such commit in the repository"):
            self.awaited(monkeypatch, clones, clones.tip, NEW)
        assert self.fetched == ["main"]

    def test_is_late_after_ten_minutes(self, monkeypatch: pytest.MonkeyPatch, clones: TwoClones) -> None:
        monkeypatch.setattr(delivery_module, "WITHIN_SECONDS", -60)
        before, commit = clones.tip, clones.somebody_weighs("region-a", v1=90, v2=10)

        assert f" at {before}" in str(self.awaited(monkeypatch, clones, commit, before))


class TestARefusedCommit:
    """Argo CD says so when it is asked, and forgets it two seconds later; the weights are as before, so that it is waited for Envoys."""

    CONDITION = "ComparisonError: Deployment/echo-v2: denied the request"
    LINE = f"region-a: Argo CD has not applied the commit, and is asked again: {CONDITION}"
    COMPARED = application(
        sync={"status": "Unknown", "revision": NEW},
        health={"status": "Healthy"},
        conditions=[dict(zip(("type", "message"), CONDITION.split(": ", 1), strict=True))],
    )
    BEHIND = (envoy("a", 100, 0),)

    def waited(self, run: Run, monkeypatch: pytest.MonkeyPatch, *answers: Application) -> tuple[str, list[str]]:
        """What is missing in the end, and the lines meanwhile."""
        said: list[str] = []
        cluster = Cluster(answers, [self.BEHIND])

        def late_at_the_last() -> None:
            if len(cluster.applications) == 1:
                monkeypatch.setattr(delivery_module, "WITHIN_SECONDS", -60)

        found = run(cluster, late_at_the_last, say=said.append)
        assert isinstance(found, Problem)
        return found.what, said

    def test_is_named_at_once_and_in_the_end(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        what, said = self.waited(run, monkeypatch, parse_application(self.COMPARED), SYNCED, SYNCED, SYNCED)

        assert said == [self.LINE]
        assert what.endswith(f"Argo CD says Synced, Healthy, at {NEW}: when asked, it said {self.CONDITION}")

    def test_is_no_longer_named_where_argocd_was_asked_again_and_finds_nothing(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery_module, "_ASK_EVERY_SECONDS", -1)
        what, said = self.waited(run, monkeypatch, parse_application(self.COMPARED), SYNCED, SYNCED, SYNCED)

        assert said == [self.LINE]
        assert "not acknowledged" in what

    def test_is_not_named_by_what_argocd_said_before_it_was_asked(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = deepcopy(self.COMPARED)
        before["metadata"]["annotations"] = {"argocd.argoproj.io/refresh": "normal"}
        what, said = self.waited(run, monkeypatch, parse_application(before), SYNCED, SYNCED)

        assert said == []
        assert "not acknowledged" in what

    def test_whose_sync_failed_is_named_and_that_of_an_older_one_is_not(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        older = refused()
        older["status"]["operationState"]["syncResult"]["revision"] = OLD
        what, said = self.waited(run, monkeypatch, parse_application(older), *[parse_application(refused())] * 2)

        (line,) = said
        assert f"sync of {NEW} Failed" in line
        assert "VirtualService echo/echo: weight 190 is too much" in what


def test_argocd_is_asked_again_where_it_takes_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "_ASK_EVERY_SECONDS", -1)
    cluster = Cluster([NOT_SYNCED, SYNCED], [[envoy("a", 90, 10)]])

    run(cluster)

    assert cluster.asked == ["argocd/echo"] * 2


@pytest.mark.parametrize(
    ("known", "gone"),
    [
        (Envoy("a", {"v1": 100}, frozenset({"v1"})), True),
        (Envoy("a", None, frozenset({"v1"})), True),
        (Envoy("a", {"v1": 100}, frozenset({"v1", "v2"})), False),
        (Envoy("a", {"v1": 90, "v2": 10}, frozenset({"v1"})), False),
        (Envoy("a", {"v1": 100}, frozenset({"v1"}), testers=frozenset({"v2"})), False),
        (Envoy("a", error="connection refused"), False),
    ],
)
def test_a_version_is_gone_when_neither_split_nor_header_nor_cluster_knows_it(known: Envoy, gone: bool) -> None:
    assert lacks("v2")(known) is gone


@pytest.mark.parametrize(
    ("known", "taken"),
    [
        (Envoy("a", {"v1": 100}, frozenset({"v1", "v2"}), testers=frozenset({"v2"})), True),
        (Envoy("a", {"v1": 100}, frozenset({"v1", "v2"})), False),
        (Envoy("a", {"v1": 100}, frozenset({"v1"}), testers=frozenset({"v2"})), False),
    ],
)
def test_a_version_of_weight_0_is_taken_with_its_subset_and_its_header(known: Envoy, taken: bool) -> None:
    assert takes({"v1": 100, "v2": 0}, ["v2"])(known) is taken
