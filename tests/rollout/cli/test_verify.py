from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Ran

from components.names import ServiceAddress
from rollout.__main__ import app
from rollout.access import PulumiAccess, RegionAccess
from rollout.cluster import stack_outputs
from rollout.cluster.application import Application, parse_application
from rollout.cluster.envoys import Envoy
from rollout.cluster.objects import Route
from rollout.cluster.pods import FEW
from rollout.cluster.stack_outputs import ServiceOutputs, StackOutputs
from rollout.git.repository import Repository
from rollout.measurement import Coverage, Host, Result, Span, Tally
from rollout.problem import Problem, RolloutError, TransientError
from rollout.promote import delivery
from rollout.promote.delivery import DeliveryTime
from rollout.status import clients, verification
from rollout.status.overlay import Split
from rollout.status.verification import Way
from rollout.traffic.attack import Attack
from rollout.traffic.clients import Window
from rollout.traffic.probe import Source
from rollout.weights import routed
from tests.rollout.answers import drawn, fault, numbered
from tests.rollout.cluster.applications import NEW, OLD, refused, well
from tests.rollout.cluster.sidecars import sidecar
from tests.rollout.repository import new_repository

URL = "http://echo.echo.svc.cluster.local/"


@cache
def split(requests: int, region: str, percent: int) -> tuple[Result, ...]:
    """Answers of v1 and v2 in exactly these shares, in an order by lot."""
    second = requests * percent // 100
    return tuple(drawn({"v2": second, "v1": requests - second}, region))


@dataclass
class FakeSource:
    region: RegionAccess
    world: World

    def results(self, attack: Attack, stop: threading.Event) -> Iterator[Result]:
        self.world.attacks[self.region.name] = attack
        # no more than any test takes
        answers = split(min(attack.requests, 20_000), self.region.name, self.world.got.get(self.region.name, 10))
        if self.region.name in self.world.sorted:
            answers = tuple(numbered(*sorted(answers, key=lambda answer: answer.body)))
        if self.region.name in self.world.probes_die:
            yield from answers[:500]
            raise RolloutError(Problem("the probe died", "why", "fix"))
        yield from answers


@dataclass
class World:
    """Two regions, with weights 90/10, and shares of v2 as given."""

    got: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=lambda: {"v1": 90, "v2": 10})
    without_outputs: tuple[str, ...] = ()
    without_probe: tuple[str, ...] = ()
    probes_die: tuple[str, ...] = ()
    """After 500 requests."""
    sorted: tuple[str, ...] = ()
    """First all answers of v1, then all of v2."""
    applications: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """By region; the other regions are delivered by Pulumi."""
    committed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Weights by commit."""
    others: tuple[str, ...] = ()
    """Services besides echo."""
    gateway: str | None = None
    """Where echo is asked by its host from outside the mesh."""
    pods: list[dict[str, Any]] = field(default_factory=list)
    asked: list[set[str]] = field(default_factory=list)
    """The names of the pods that were asked, look by look."""
    away: int = 0
    """How often the cluster does not answer for its route once requests were sent."""
    failing_looks: int = 0
    """How many looks at clients fail first."""
    outside: set[str] = field(default_factory=set)
    """The regions whose client outside the mesh was asked for."""
    attacks: dict[str, Attack] = field(default_factory=dict)
    """By region; where there are several services, the last one's."""
    routes: list[Route] = field(default_factory=list)
    """The VirtualServices that are read one after the other; then it is one with the weights that are declared."""
    envoys: list[tuple[Envoy, ...]] = field(default_factory=list)
    """Those that are asked one after the other; then it is one with the weights that are declared."""
    later: Mapping[str, int] | None = None
    """What Pulumi brings once the first requests are sent."""
    fetched: Callable[[], None] = lambda: None
    """What a fetch brings about."""
    spans: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    """What clients are seen to get, one after the other, by region."""
    coverage: Coverage = field(default_factory=lambda: Coverage(frozenset({"shop/a", "shop/b"})))

    def stand_ins(self) -> dict[str, Callable[..., object]]:
        """What is asked instead of the world, by the name that it has in the verification."""
        return {
            "read_outputs": self._outputs,
            "connect": self._connect,
            "settled_application": self._application,
            "overlay_split": self._overlay_split,
            "is_here": lambda _project, commit: commit in self.committed,
            "read_route": self._route,
            "read_envoys": self._envoys,
            "api_client": lambda _region: None,
            "list_all_pods": lambda _region, _api: self.pods,
        }

    def declared(self, region: str) -> Mapping[str, int]:
        application = self.applications.get(region)
        if application:
            return self.committed[parse_application(application).synced_revision or ""]
        return self.later if self.later and self.attacks else self.weights

    def _route(self, region: RegionAccess, _service: ServiceAddress) -> Route:
        if self.attacks and self.away:
            self.away -= 1
            raise TransientError.of(f"{region.name}: the cluster does not answer")
        return (
            self.routes.pop(0)
            if self.routes
            else Route(self.declared(region.name), None, generation=1 + bool(self.later and self.attacks))
        )

    def _envoys(
        self, region: RegionAccess, services: Sequence[ServiceAddress], pods: Sequence[dict[str, Any]]
    ) -> dict[str, tuple[Envoy, ...]]:
        self.asked.append({pod["metadata"]["name"] for pod in pods})
        envoys = self.envoys.pop(0) if self.envoys else (envoy("echo/a", self.declared(region.name)),)
        return {service.name: envoys for service in services}

    def _outputs(self, _pulumi: PulumiAccess, region: RegionAccess) -> StackOutputs:
        if region.name in self.without_outputs:
            raise RolloutError(Problem(f"{region.name} has no outputs", "why it is needed", "how to mend it"))
        application = "argocd/echo" if region.name in self.applications else None
        echo = ServiceOutputs(
            weights=dict(self.later if self.later and self.attacks else self.weights),
            url=URL,
            namespace="echo",
            port=80,
            application=application,
        )
        echo = echo.model_copy(update={"hosts": ("echo.corp.local",) if self.gateway else ()})
        others = {
            name: ServiceOutputs(weights=dict(self.weights), url=f"http://{name}/", namespace=name, port=80)
            for name in self.others
        }
        return StackOutputs(region=region.name, services={"echo": echo, **others}, gateway=self.gateway)

    def _connect(self, region: RegionAccess, outside: bool = False) -> FakeSource:
        if region.name in self.without_probe:
            raise RolloutError(Problem(f"{region.name} has no probe", "why it is needed", "how to mend it"))
        if outside:
            self.outside.add(region.name)
        return FakeSource(region, self)

    def _application(self, region: RegionAccess, name: str) -> Application:
        assert name == "argocd/echo"
        return parse_application(self.applications[region.name])

    def _overlay_split(self, project: Path, revision: str, folder: str, service: str) -> Split:
        assert (project, folder, service) == (Path.cwd(), "deploy/overlays/region-a/echo", "echo")
        if revision not in self.committed:
            raise RolloutError.of(f"no commit {revision}", "why it is needed", "how to mend it")
        return Split(self.committed[revision])


@dataclass
class FakeClients:
    """At each look there is one more span, as long as there are such."""

    world: World
    region: str
    looks: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing was started."""

    def seen(self) -> Window:
        self.looks += 1
        failing = self.world.failing_looks if self.region in self.world.spans else self.looks
        if self.looks <= failing:
            problem = Problem(f"{self.region}: no client of echo could be asked", "why", "how to mend it")
            return Window(trouble=problem.what, problems=(problem,), failed=self.looks)
        return Window(tuple(self.world.spans[self.region][: self.looks - failing]), self.world.coverage)


def span(v1: int, v2: int, failed: int = 0) -> Span:
    return Span(10.0, {"v1": Tally(v1), "v2": Tally(v2, failed)})


def envoy(pod: str, weights: Mapping[str, int], error: str = "") -> Envoy:
    return Envoy(pod, None, error=error) if error else Envoy(pod, routed(weights), frozenset(weights))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: echo-rollout\n")
    (tmp_path / ".regions.yaml").write_text("regions: {region-a: {context: a}, region-b: {context: b}}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def verify(world: World, *arguments: str, connect: Callable[[RegionAccess, bool], Source] | None = None) -> Ran:
    stand_ins = world.stand_ins() | ({"connect": connect} if connect else {})
    with pytest.MonkeyPatch.context() as patch:
        for name, stand_in in stand_ins.items():
            patch.setattr(verification, name, stand_in)
        patch.setattr(verification, "_LOOK_EVERY_SECONDS", 0)
        patch.setattr(verification, "_READ_AGAIN_SECONDS", 0)
        patch.setattr(clients, "read_outputs", stand_ins["read_outputs"])
        patch.setattr(clients, "Proxies", lambda region, _service: region.name)
        patch.setattr(clients, "ClientsWatch", partial(FakeClients, world))
        patch.setattr(clients, "_LOOK_EVERY_SECONDS", 0)
        patch.setattr(Repository, "fetch", lambda _repository, _remote, _branch: world.fetched())
        return CliRunner().invoke(app, ["verify", *arguments])


@pytest.mark.usefixtures("project")
class TestExitCode:
    def test_is_0_when_both_regions_hold(self) -> None:
        assert verify(World()).exit_code == 0

    def test_is_1_when_one_region_does_not_hold(self) -> None:
        assert verify(World(got={"region-b": 15})).exit_code == 1

    def test_is_1_with_a_dead_canary(self) -> None:
        assert verify(World(got={"region-a": 0})).exit_code == 1

    def test_is_1_when_it_is_not_known_after_the_requests_that_were_asked_for(self) -> None:
        assert verify(World(), "--requests", "500").exit_code == 1

    def test_is_1_when_requests_depend_on_each_other(self) -> None:
        assert verify(World(sorted=("region-a",))).exit_code == 1

    def test_is_1_when_a_probe_dies_midway(self) -> None:
        assert verify(World(probes_die=("region-a",))).exit_code == 1

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--requests", "0"),
            ("--requests", "1000001"),
            ("--rate", "0"),
            ("--rate", "fast"),
            ("--url", "echo"),
            ("--region", "moon"),
            ("--what",),
        ],
    )
    def test_is_2_for_wrong_usage(self, arguments: tuple[str, ...]) -> None:
        assert verify(World(), *arguments).exit_code == 2

    def test_is_2_when_a_region_cannot_be_measured(self) -> None:
        assert verify(World(without_probe=("region-b",))).exit_code == 2

    def test_is_2_without_a_project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "Pulumi.yaml").unlink()
        monkeypatch.chdir(tmp_path)

        assert verify(World()).exit_code == 2


@pytest.mark.usefixtures("project")
class TestRequests:
    def test_end_when_it_is_decided_in_each_region_by_itself(self) -> None:
        regions = json.loads(verify(World(got={"region-b": 0}), "--json").stdout)["regions"]

        sent = {region["region"]: region["requests"] for region in regions}
        assert sent["region-b"] <= 150
        assert 1_000 < sent["region-a"] < 10_000

    def test_end_at_the_first_that_failed(self) -> None:
        class Failing(FakeSource):
            def results(self, attack: Attack, stop: threading.Event) -> Iterator[Result]:
                answers = list(super().results(attack, stop))
                yield from [*answers[:33], fault("v2", self.region.name, sequence=33), *answers[34:]]

        world = World()
        ran = verify(world, "--json", connect=lambda region, _outside: Failing(region, world))
        regions = json.loads(ran.stdout)["regions"]

        assert [region["requests"] for region in regions] == [40, 40]
        assert [finding["kind"] for region in regions for finding in region["findings"]] == ["failed", "failed"]

    def test_are_as_asked_for(self) -> None:
        world = World()

        verify(world, "--requests", "4000", "--rate", "750", "--url", "http://127.0.0.1/")

        assert world.attacks["region-a"] == Attack("http://127.0.0.1/", 4_000, 750)

    def test_go_to_the_stacks_url_at_500_a_second_and_are_at_most_50000(self) -> None:
        world = World()

        verify(world)

        assert world.attacks["region-a"] == Attack(URL, 50_000, 500)

    def test_go_to_the_named_regions_only(self) -> None:
        world = World()

        verify(world, "--region", "region-b")

        assert list(world.attacks) == ["region-b"]

    def test_are_not_sent_anywhere_while_a_region_is_not_ready(self) -> None:
        world = World(without_probe=("region-b",))

        verify(world)

        assert world.attacks == {}


@pytest.mark.usefixtures("project")
class TestServices:
    """Two of them, echo and web."""

    def measured(self, *arguments: str) -> tuple[list[tuple[str, str]], World]:
        world = World(others=("web",))
        document = json.loads(verify(world, "--json", *arguments).stdout)
        assert document["holds"] is True
        return [(each["region"], each["service"]) for each in document["regions"]], world

    def test_all_are_measured_and_share_the_rate(self) -> None:
        found, world = self.measured()

        assert found == [(region, service) for region in ("region-a", "region-b") for service in ("echo", "web")]
        assert {attack.rate for attack in world.attacks.values()} == {250}

    def test_only_those_that_are_named_are_measured(self) -> None:
        found, world = self.measured("--service", "web")

        assert found == [("region-a", "web"), ("region-b", "web")]
        assert world.attacks["region-a"] == Attack("http://web/", 50_000, 500)

    def test_one_that_is_not_up_is_told(self) -> None:
        world = World(others=("web",))

        ran = verify(world, "--service", "shop")

        assert (ran.exit_code, world.attacks) == (2, {})
        assert "error: stack region-a has no service shop; it has: echo, web" in ran.stderr


@pytest.mark.usefixtures("project")
class TestGateway:
    """Echo has a host there, web has none."""

    def measured(self, *arguments: str) -> tuple[list[tuple[str, str]], World]:
        world = World(others=("web",), gateway="gateway.ns.svc:80")
        document = json.loads(verify(world, "--json", "--region", "region-a", *arguments).stdout)
        return [(each["service"], each["from"]) for each in document["regions"]], world

    def test_services_with_a_host_are_measured_through_it_too(self) -> None:
        found, world = self.measured()

        assert found == [("echo", "mesh"), ("echo", "gateway"), ("web", "mesh")]
        assert world.outside == {"region-a"}

    def test_is_asked_by_the_host_from_outside_the_mesh(self) -> None:
        world = World(gateway="gateway.ns.svc:80", without_probe=("region-b",))
        ready = prepare_in(world, "gateway")

        assert [each.title for each in ready] == ["region-a echo through the gateway"]
        assert (ready[0].attack.url, ready[0].attack.connect_to) == ("http://echo.corp.local/", "gateway.ns.svc:80")

    def test_is_not_asked_where_an_address_is_given(self) -> None:
        found, world = self.measured("--url", "http://elsewhere/")

        assert (found, world.outside) == ([("echo", "mesh"), ("web", "mesh")], set())

    def test_has_a_column_of_its_own_in_the_table(self) -> None:
        printed = verify(World(gateway="gateway.ns.svc:80"), "--region", "region-a").stdout

        assert re.search(r"^region +service +from +version", printed, re.MULTILINE)
        assert re.search(r"^region-a +echo +gateway +v2 +10 %", printed, re.MULTILINE)
        assert "region-a echo through the gateway holds: " in printed


def prepare_in(world: World, *ways: Way) -> tuple[verification.Ready, ...]:
    """What region-a is measured with."""
    with pytest.MonkeyPatch.context() as patch:
        for name, stand_in in world.stand_ins().items():
            patch.setattr(verification, name, stand_in)
        region = RegionAccess("region-a", "region-a", "a")
        deliveries = verification.Deliveries(PulumiAccess(Path()), lambda _line: None, lambda _branch: None)
        return verification.prepare([region], deliveries, ways=ways)


@pytest.mark.usefixtures("project")
class TestDeliveredByArgoCd:
    """The outputs say 90/10, and are as old as the stack's last `up`."""

    def test_shares_are_held_against_the_synced_commit(self) -> None:
        world = World(got={"region-a": 25}, applications={"region-a": well(NEW)}, committed={NEW: {"v1": 75, "v2": 25}})

        assert verify(world).exit_code == 0

    def test_shares_as_in_the_outputs_do_not_hold(self) -> None:
        world = World(applications={"region-a": well(NEW)}, committed={NEW: {"v1": 75, "v2": 25}})

        assert verify(world).exit_code == 1

    def test_says_which_commit_before_and_after(self) -> None:
        ran = verify(World(applications={"region-a": well(NEW)}, committed={NEW: {"v1": 90, "v2": 10}}))

        assert f"region-a echo: weights of commit {NEW}, which Argo CD synced" in ran.stderr
        assert f"region-a echo: weights of deploy/overlays/region-a/echo at {NEW}" in ran.stdout
        assert "region-b echo: weights" not in ran.output

    def test_a_commit_that_is_not_applied_is_told_and_the_one_before_it_holds(self) -> None:
        ran = verify(World(applications={"region-a": refused()}, committed={OLD: {"v1": 90, "v2": 10}}))

        assert ran.exit_code == 0
        assert "region-a echo: Argo CD says OutOfSync, Healthy" in ran.stdout
        assert "  - VirtualService echo/echo: weight 190 is too much" in ran.stdout

    def test_a_commit_that_cannot_be_read_keeps_requests_from_being_sent(self, project: Path) -> None:
        new_repository(project).git("remote", "add", "origin", "nowhere")
        world = World(applications={"region-a": well(NEW)})

        ran = verify(world)

        assert (ran.exit_code, world.attacks) == (2, {})
        assert f"error: no commit {NEW}" in ran.stderr

    def test_json_says_where_the_weights_are_from(self) -> None:
        world = World(applications={"region-a": refused()}, committed={OLD: {"v1": 90, "v2": 10}})

        document = json.loads(verify(world, "--json").stdout)

        assert [region["application"] for region in document["regions"]] == [
            {
                "name": "argocd/echo",
                "path": "deploy/overlays/region-a/echo",
                "revision": OLD,
                "sync": "OutOfSync",
                "health": "Healthy",
                "complaints": [
                    f"sync of {NEW} Failed: one or more objects failed to apply",
                    "VirtualService echo/echo: weight 190 is too much",
                ],
            },
            None,
        ]


@pytest.mark.usefixtures("project")
class TestWeightsThatChange:
    """Pulumi delivers; a VirtualService has another generation with each change."""

    OLD, NEW = {"v1": 90, "v2": 10}, {"v1": 75, "v2": 25}

    def test_meanwhile_are_measured_again(self) -> None:
        ran = verify(World(got={"region-a": 25}, later=self.NEW), "--region", "region-a")

        assert ran.exit_code == 0, ran.output
        assert "region-a echo: the weights changed (v1 90 → 75 %, v2 10 → 25 %) meanwhile: measured again" in ran.stderr
        assert re.search(r"^region-a +echo +v2 +25 %", ran.stdout, re.MULTILINE)

    def test_there_and_back_meanwhile_are_measured_again(self) -> None:
        ran = verify(World(routes=[Route(self.OLD, None, generation=3)]), "--region", "region-a")

        assert (
            "the VirtualService changed, with the same weights now as before, meanwhile: measured again" in ran.stderr
        )
        assert ran.exit_code == 0

    def test_all_the_time_are_no_verdict(self) -> None:
        world = World(got={"region-a": 50})
        world.routes = [Route(self.OLD, None, generation=generation) for generation in range(20)]

        ran = verify(world, "--region", "region-a")

        assert ran.exit_code == 2
        assert ran.stderr.count("measured again") == 4
        assert "error: region-a echo could not be measured: the VirtualService changed" in ran.stderr

    def test_meanwhile_excuse_no_request_that_failed(self) -> None:
        class Failing(FakeSource):
            def results(self, attack: Attack, stop: threading.Event) -> Iterator[Result]:
                yield from [*super().results(attack, stop)][:33]
                yield fault("v2", self.region.name, sequence=33)

        world = World(later=self.NEW)
        ran = verify(world, "--region=region-a", connect=lambda region, _outside: Failing(region, world))

        assert ran.exit_code == 1
        assert "measured again" not in ran.stderr

    def test_are_waited_for_where_an_envoy_has_the_old_ones(self) -> None:
        lagging = envoy("shop/b", self.NEW)
        world = World(envoys=[(envoy("echo/a", self.OLD), lagging), (lagging,)])

        ran = verify(world, "--region", "region-a", "--json")

        assert "region-a: waits until all have echo v1 90 %, v2 10 %: shop/b (v1 75 %, v2 25 %)" in ran.stderr
        assert ran.stderr.count("waits until all have") == 1
        assert json.loads(ran.stdout)["regions"][0]["behind"] == []
        assert not world.envoys

    def test_are_waited_for_where_the_cluster_has_the_old_ones(self) -> None:
        ran = verify(World(routes=[Route(self.NEW, None, generation=1)]), "--region", "region-a")

        assert "waits until all have echo v1 90 %, v2 10 %: VirtualService echo/echo (v1 75 %, v2 25 %)" in ran.stderr
        assert ran.exit_code == 0

    def test_that_somebody_does_not_take_are_measured_and_it_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verification, "_TAKEN_WITHIN_SECONDS", -1)
        lagging = envoy("shop/b", self.NEW)

        ran = verify(World(got={"region-a": 25}, envoys=[(lagging,)]), "--region", "region-a")

        assert ran.exit_code == 1
        assert "waits until all have" not in ran.stderr
        assert "region-a echo: not known to have these weights: shop/b (v1 75 %, v2 25 %)" in ran.stdout

    def test_of_an_envoy_that_cannot_be_asked_are_not_waited_for_and_it_is_named(self) -> None:
        world = World(envoys=[(envoy("shop/b", {}, "exec was refused: 403 forbidden"),)])

        ran = verify(world, "--region", "region-a")

        assert ran.exit_code == 0
        assert "waits until all have" not in ran.stderr
        assert "region-a echo: not known to have these weights: shop/b (exec was refused: 403 forbidden)" in ran.stdout

    def test_of_many_envoys_are_looked_for_in_the_same_sample(self) -> None:
        lagging = envoy("shop/b", self.NEW)
        pods = [sidecar(f"a-{number}") for number in range(60)]
        world = World(envoys=[(lagging,), (lagging,)], pods=pods)

        ran = verify(world, "--region", "region-a")

        assert ran.exit_code == 0, ran.output
        assert [len(names) for names in world.asked] == [FEW] * 3
        assert world.asked[0] == world.asked[1] == world.asked[2]
        assert "region-a echo: asked 50 of 60 Envoys, chosen at random" in ran.stdout

    def test_are_read_again_after_a_measurement_where_nobody_answers(self) -> None:
        assert verify(World(away=3), "--region", "region-a").exit_code == 0
        assert verify(World(away=99), "--region", "region-a").exit_code == 2

    def test_are_fetched_for_one_region_at_a_time(self, project: Path) -> None:
        new_repository(project).git("remote", "add", "origin", "nowhere")
        both = {name: well(NEW) for name in ("region-a", "region-b")}
        world = World(applications=both)
        at_once, most, second = 0, 0, threading.Barrier(2)

        def fetched() -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            with suppress(threading.BrokenBarrierError):
                second.wait(0.5)
            at_once -= 1

        world.fetched = fetched
        verify(world)

        assert most == 1

    def test_by_a_commit_that_is_not_here_are_fetched(self, project: Path) -> None:
        new_repository(project).git("remote", "add", "origin", "nowhere")
        world = World(applications={"region-a": well(NEW)})

        def fetched() -> None:
            world.committed = {NEW: {"v1": 90, "v2": 10}}

        world.fetched = fetched
        ran = verify(world, "--region", "region-a")

        assert ran.exit_code == 0, ran.output
        assert f"region-a echo: fetches main: Argo CD synced {NEW}, which is not in this clone" in ran.stderr


@pytest.mark.usefixtures("project")
class TestClients:
    """Their requests are counted in place of those of a probe."""

    def counted(self, *spans: Span, options: Sequence[str] = (), **world: Any) -> Ran:
        self.world = World(spans={"region-a": spans}, **world)
        return verify(self.world, "--clients", "--region", "region-a", *options)

    def test_prove_a_right_split_and_nothing_is_sent(self) -> None:
        ran = self.counted(span(1_800, 200), span(1_800, 200), span(1, 9_999))

        assert (ran.exit_code, self.world.attacks) == (0, {})
        assert "region-a echo for its clients: counts what its clients' Envoys count, 10 min at most" in ran.stderr
        assert "region-a echo for its clients holds: 4,000 requests in " in ran.stdout
        assert "  - 2 of 2 clients (100 %) are counted" in ran.stdout
        assert "whether the requests are independent of each other, so that is not tested" in ran.stdout
        assert re.search(r"^region-a +echo +clients +v2 +10 %", ran.stdout, re.MULTILINE)

    def test_find_a_wrong_split(self) -> None:
        ran = self.counted(span(4_000, 1_000))

        assert ran.exit_code == 1
        assert "off weight: v2 got 20.0 % (1,000 of 5,000)" in ran.stdout

    def test_that_send_too_little_are_no_verdict(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clients, "LONGEST_SECONDS", 0.2)

        ran = self.counted(span(450, 50), span(450, 50))

        assert ran.exit_code == 2
        assert "not yet known: 1,000 requests do not decide it; about " in ran.stdout

    def test_that_send_nothing_are_no_verdict(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clients, "LONGEST_SECONDS", 0.2)

        ran = self.counted(Span(10.0, {}))

        assert ran.exit_code == 2
        assert "not yet known: 0 requests do not decide it; about " in ran.stdout

    def test_that_failed_are_shown_and_not_judged(self) -> None:
        ran = self.counted(span(5_400, 600, failed=60))

        assert ran.exit_code == 0
        assert "60 failed, which is not judged" in ran.stdout
        # all of v2's: 540 of 5,940 in place of 600 of 6,000
        assert (
            "nor which of the 60 that failed were tried again: if all were, a share is wrong by up to 0.9" in ran.stdout
        )

    def test_that_cannot_be_asked_are_a_problem(self) -> None:
        ran = verify(World(spans={"region-a": [span(5_400, 600)]}), "--clients")

        assert ran.exit_code == 2
        assert "error: region-b: no client of echo could be asked\n" in ran.stderr
        assert "  what to do: how to mend it" in ran.stderr

    def test_that_cannot_be_asked_at_first_are_asked_again(self) -> None:
        assert self.counted(span(5_400, 600), failing_looks=2).exit_code == 0
        assert self.counted(span(5_400, 600), failing_looks=3).exit_code == 2

    def test_are_told_to_a_program(self) -> None:
        coverage = Coverage(
            frozenset({"shop/a", "istio-ingress/g"}),
            {"cart/b": "no answer"},
            frozenset({"shop/a"}),
            frozenset({Host("v2", "x")}),
            frozenset({"istio-ingress/g"}),
        )

        (region,) = json.loads(self.counted(span(5_400, 600), options=["--json"], coverage=coverage).stdout)["regions"]

        assert (region["from"], region["holds"], region["requests"]) == ("clients", True, 6_000)
        assert region["clients"] == {
            "counted": ["istio-ingress/g", "shop/a"],
            "gateways": ["istio-ingress/g"],
            "in_part": ["shop/a"],
            "silent": {"cart/b": "no answer"},
            "pods_in_part": ["v2 x"],
        }

    def test_are_not_measured_where_testers_ask_for_a_version(self) -> None:
        ran = self.counted(
            span(5_400, 600), routes=[Route({"v1": 90, "v2": 10}, None, testers=frozenset({"v2"}), generation=1)]
        )

        assert ran.exit_code == 2
        assert "error: region-a echo: testers can ask for v2 by a header" in ran.stderr

    def test_are_measured_again_where_the_weights_change(self) -> None:
        ran = self.counted(span(5_400, 600), routes=[Route({"v1": 90, "v2": 10}, None, generation=0)])

        assert ran.exit_code == 0
        assert "region-a echo for its clients: the VirtualService changed" in ran.stderr

    @pytest.mark.parametrize("option", ["--url=http://a/", "--requests=4000", "--rate=500"])
    def test_do_not_go_with_what_is_said_of_requests_to_send(self, option: str) -> None:
        ran = self.counted(span(5_400, 600), options=[option])

        assert ran.exit_code == 2
        assert f"error: {option.partition('=')[0]} and --clients do not go together" in ran.stderr


class TestCommit:
    """That is waited for before anything is measured; `rollout.promote.delivery` does the waiting."""

    def verify(self, world: World, found: DeliveryTime | Problem, project: Path) -> Ran:
        repository = new_repository(project)
        repository.git("add", "--all")
        repository.git("commit", "--quiet", "--message", "Begin")
        self.commit = repository.git("rev-parse", "HEAD")
        self.awaited: list[tuple[str, str, str]] = []

        def await_commit(
            region: RegionAccess,
            _service: ServiceAddress,
            application: str,
            _clone: Repository,
            commit: str,
            **_fetch: object,
        ) -> object:
            assert not world.attacks
            self.awaited.append((region.name, application, commit))
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stack_outputs, "read_outputs", world.stand_ins()["read_outputs"])
            patch.setattr(delivery, "await_commit", await_commit)
            return verify(world, "--commit", "HEAD")

    def test_is_waited_for_where_argo_cd_delivers(self, project: Path) -> None:
        world = World(applications={"region-a": well(NEW)}, committed={NEW: {"v1": 90, "v2": 10}})

        ran = self.verify(world, DeliveryTime(12.3, 13.4, 7), project)

        assert (ran.exit_code, self.awaited) == (0, [("region-a", "argocd/echo", self.commit)])
        assert f"region-a echo: waits until Argo CD and every Envoy have {self.commit}" in ran.stderr
        assert "region-a echo: synced after 12 s, acknowledged by 7 Envoys after 13 s" in ran.stderr
        assert "region-b echo: Pulumi delivers here" in ran.stderr

    def test_that_does_not_come_keeps_requests_from_being_sent(self, project: Path) -> None:
        world = World(applications={"region-a": well(NEW)}, committed={NEW: {"v1": 90, "v2": 10}})

        ran = self.verify(world, Problem("not synced within 10 min"), project)

        assert (ran.exit_code, world.attacks) == (2, {})
        assert "error: not synced within 10 min" in ran.stderr


@pytest.mark.usefixtures("project")
class TestOutput:
    def test_table_is_on_stdout_and_progress_on_stderr(self) -> None:
        ran = verify(World())

        assert "region-a  echo     v1" in ran.stdout
        assert "region-a echo holds" in ran.stdout
        assert "region-a echo: 1,000 requests, v1 " in ran.stderr
        assert "1,000 requests, v1 " not in ran.stdout

    def test_has_no_escapes_without_a_terminal(self) -> None:
        ran = verify(World(got={"region-b": 15}, without_probe=()))

        assert "\x1b" not in ran.output

    def test_json_is_all_of_stdout(self) -> None:
        document = json.loads(verify(World(got={"region-b": 15}), "--json").stdout)

        assert [region["holds"] for region in document["regions"]] == [True, False]

    def test_problems_of_all_regions_are_told_together_in_three_parts(self) -> None:
        stderr = verify(World(without_outputs=("region-a",), without_probe=("region-a", "region-b"))).stderr

        assert [line for line in stderr.splitlines() if line.startswith("error: ")] == [
            "error: region-a has no outputs",
            "error: region-a has no probe",
            "error: region-b has no probe",
        ]
        assert stderr.count("  why it matters: why it is needed") == 3
        assert stderr.count("  what to do: how to mend it") == 3

    def test_a_probe_that_died_midway_is_told_with_its_part(self) -> None:
        ran = verify(World(probes_die=("region-a",)))

        assert "  - not yet known: 500 requests do not decide it" in ran.stdout
        assert "  - interrupted: the probe died" in ran.stdout

    def test_help_tells_the_exit_codes(self) -> None:
        text = CliRunner().invoke(app, ["verify", "--help"]).stdout

        assert "0    every region holds" in text
        assert "130  stopped by Ctrl-C (143 SIGTERM, 129 SIGHUP)" in text


@pytest.mark.usefixtures("project")
class TestPlot:
    def test_shows_each_region_that_was_measured(self, project: Path) -> None:
        verify(World(got={"region-b": 15}), "--plot", "shares.svg")

        drawing = ElementTree.fromstring((project / "shares.svg").read_text())
        text = " ".join(drawing.itertext())
        assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
        assert "region-a" in text
        assert "region-b" in text

    def test_that_cannot_be_written_keeps_requests_from_being_sent(self) -> None:
        world = World()

        ran = verify(world, "--plot", "missing/shares.svg")

        assert (ran.exit_code, world.attacks) == (2, {})
        assert "error: --plot missing/shares.svg: missing is not a directory" in ran.stderr

    def test_that_could_not_be_written_does_not_hide_the_verdict(self, project: Path) -> None:
        (project / "shares.svg").mkdir()

        ran = verify(World(), "--plot", "shares.svg")

        assert ran.exit_code == 2
        assert "region-a echo holds" in ran.stdout
        assert "error: --plot shares.svg cannot be written" in ran.stderr
