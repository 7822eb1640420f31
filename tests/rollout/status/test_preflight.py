"""Each trouble by itself, with its mend, in a region in which all else is well."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rollout.cluster.application import parse_application
from rollout.cluster.envoys import Envoy
from rollout.cluster.surroundings import Autoscaler, Project, Surroundings
from rollout.cluster.sync_windows import SyncWindow
from rollout.problem import Problem
from rollout.status.disagreements import RegionStatus
from rollout.status.preflight import Trouble, troubles
from rules.facts.windows import RecurringWindow
from tests.rollout.cluster.applications import NEW, OLD, application, refused, unreadable, well
from tests.rollout.status.statuses import AGREED, NOW, WEIGHTS, envoys, live, region, route, status

REPOSITORY = "https://git.corp.local/platform/echo-rollout.git"
AROUND = Surroundings(namespace="echo", projects={"echo": Project((REPOSITORY,))})
UP = "pulumi up --refresh -s region-a"
ANNOTATE = "kubectl --context ctx-a -n argocd annotate application echo"
OPEN = SyncWindow(allows=False, window=RecurringWindow(f"0 {NOW.hour - 1} * * *", "2h"), applications=("echo",))


def around(**changes: Any) -> RegionStatus:
    return region(live=replace(live(route(WEIGHTS)), around=replace(AROUND, **changes)))


def delivered(document: dict[str, Any], **changes: Any) -> RegionStatus:
    return replace(around(), application=parse_application(document), **changes)


def changed(*path: str, to: Any) -> dict[str, Any]:
    """A well Application with another value at a path; None removes it."""
    document = well(NEW)
    part = document
    for key in path[:-1]:
        part = part.setdefault(key, {})
    part[path[-1]] = to
    if to is None:
        del part[path[-1]]
    return document


def only(found: RegionStatus) -> Trouble:
    (one,) = troubles(status(found))
    return one


def test_there_is_none_in_a_region_that_is_well() -> None:
    assert not troubles(status(AGREED, around()))


class TestArgoCd:
    def test_without_a_ready_pod_is_the_regions(self) -> None:
        away = around(argo_cd_away=("argocd-repo-server",))

        assert troubles(status(away, replace(away, service="shop"))) == (
            Trouble(
                "region-a",
                "",
                Problem(
                    "argocd-repo-server has no ready pod",
                    "no commit is applied there, and no way back",
                    "see why: kubectl --context ctx-a -n argocd get pods -l app.kubernetes.io/name=argocd-repo-server",
                ),
            ),
        )

    def test_is_not_asked_of_where_pulumi_delivers(self) -> None:
        found = around(argo_cd_away=("argocd-repo-server",))
        direct = replace(found, declared=replace(found.declared, delivery="direct"), application=None)

        assert not troubles(status(direct))


class TestApplication:
    @pytest.mark.parametrize(
        ("document", "what", "fix"),
        [
            (
                changed("spec", "syncPolicy", "automated", to=None),
                "automatic sync of Application argocd/echo is off",
                f"switch it on again: {UP}",
            ),
            (
                changed("metadata", "annotations", to={"argocd.argoproj.io/skip-reconcile": "true"}),
                "Application argocd/echo has the annotation argocd.argoproj.io/skip-reconcile",
                f"remove it: {ANNOTATE} argocd.argoproj.io/skip-reconcile-",
            ),
            (
                changed("metadata", "deletionTimestamp", to="2026-01-01T00:00:00Z"),
                "Application argocd/echo is being deleted",
                f"see what holds it, then bring it up again: {UP}",
            ),
            (
                changed("spec", "project", to="other"),
                "Application argocd/echo is of the AppProject other, which is not there",
                f"bring it up again: {UP}",
            ),
            (
                changed("spec", "source", "repoURL", to="https://git.corp.local/fork.git"),
                "Application argocd/echo reads https://git.corp.local/fork.git, and its AppProject echo allows "
                f"{REPOSITORY}",
                f"let both name the repository of Pulumi.region-a.yaml: {UP}",
            ),
        ],
    )
    def test_that_does_not_apply_stops(self, document: dict[str, Any], what: str, fix: str) -> None:
        found = only(delivered(document))

        assert (found.region, found.service, found.stops, found.may_have_passed) == ("region-a", "echo", True, False)
        assert (found.problem.what, found.problem.fix) == (what, fix)
        assert "no commit is applied there, and no way back" in found.problem.why

    @pytest.mark.parametrize(
        ("without", "what", "stops"),
        [("prune", "does not prune", True), ("selfHeal", "does not self-heal", False)],
    )
    def test_that_applies_less_stops_where_a_change_would_not_arrive(
        self, without: str, what: str, stops: bool
    ) -> None:
        found = only(delivered(changed("spec", "syncPolicy", "automated", without, to=False)))

        assert found.problem.what == f"automatic sync of Application argocd/echo {what}"
        assert found.stops is stops

    @pytest.mark.parametrize("followed", ["feature", OLD])
    def test_of_another_revision_stops(self, followed: str) -> None:
        elsewhere = delivered(changed("spec", "source", "targetRevision", to=followed))
        declared = replace(elsewhere.declared, branch="main", path="deploy/overlays/region-a/echo")
        found = only(replace(elsewhere, declared=declared))

        assert found.problem.what == f"Application argocd/echo follows {followed}, and Pulumi.region-a.yaml says main"
        assert found.stops

    def test_of_the_branch_by_its_full_name_is_the_same(self) -> None:
        found = delivered(changed("spec", "source", "targetRevision", to="refs/heads/main"))

        assert not troubles(status(replace(found, declared=replace(found.declared, branch="main"))))

    def test_of_another_folder_stops(self) -> None:
        found = delivered(changed("spec", "source", "path", to="deploy/overlays/region-b/echo"))
        declared = replace(found.declared, path="deploy/overlays/region-a/echo")

        assert only(replace(found, declared=declared)).problem.what == (
            "Application argocd/echo reads deploy/overlays/region-b/echo, and the overlay is deploy/overlays/region-a/echo"
        )

    def test_that_could_not_compare_stops_unless_it_has_passed(self) -> None:
        found = only(delivered(unreadable()))

        assert found.problem == Problem(
            "Application argocd/echo: ComparisonError: deploy/overlays/region-a/echo: app path does not exist",
            "no commit is applied there, and no way back",
            f"mend what it says, then let Argo CD look again: {ANNOTATE} argocd.argoproj.io/refresh=normal --overwrite",
        )
        assert (found.stops, found.may_have_passed) == (True, True)

    def test_that_warns_is_worth_saying(self) -> None:
        document = well(NEW)
        document["status"]["conditions"] = [{"type": "SharedResourceWarning", "message": "Service/echo is part of two"}]

        assert not only(delivered(document)).stops

    def test_that_gave_up_on_a_commit_stops_unless_it_has_passed(self) -> None:
        found = only(delivered(refused()))

        assert found.problem.what == (
            f"Application argocd/echo: sync of {NEW} Failed: one or more objects failed to apply; "
            "VirtualService echo/echo: weight 190 is too much"
        )
        assert (found.stops, found.may_have_passed) == (True, True)

    def test_that_tries_again_is_worth_saying(self) -> None:
        document = refused()
        document["status"]["operationState"]["phase"] = "Running"

        assert not only(delivered(document)).stops

    def test_that_failed_once_and_is_synced_now_is_well(self) -> None:
        document = well(NEW)
        document["status"]["operationState"]["phase"] = "Failed"

        assert not troubles(status(delivered(document)))

    def test_that_may_have_forgotten_a_refused_commit_is_worth_saying_unless_it_has_passed(self) -> None:
        document = well(NEW, OLD)
        document["status"]["operationState"]["syncResult"]["revision"] = OLD
        found = only(delivered(document, unapplied=("Deployment echo/echo-v2",)))

        assert found.problem == Problem(
            "Application argocd/echo says Synced at 2222222, it last applied 1111111, and between the two these differ: "
            "Deployment echo/echo-v2",
            "the commit may have been refused: Argo CD forgets a comparison that failed, and then says Synced",
            f"let Argo CD look again: {ANNOTATE} argocd.argoproj.io/refresh=normal --overwrite; "
            "if it still says Synced, the cluster has what the commit says, and the next sync ends this line",
        )
        assert (found.stops, found.may_have_passed) == (False, True)

    def test_that_argo_cd_has_not_seen_yet_is_well(self) -> None:
        assert not troubles(status(delivered(application())))


class TestWindow:
    def test_that_is_open_stops(self) -> None:
        found = only(around(projects={"echo": Project((REPOSITORY,), (OPEN,))}))

        assert found.problem == Problem(
            f"AppProject echo: the deny window 0 {NOW.hour - 1} * * * for 2h is open",
            "Argo CD does not sync by itself now: no commit is applied there, and no way back",
            "wait, or change the window: kubectl --context ctx-a -n argocd edit appproject echo",
        )
        assert found.stops

    def test_that_has_passed_does_not(self) -> None:
        found = around(projects={"echo": Project((REPOSITORY,), (OPEN,))})

        assert not troubles(replace(status(found), at=NOW + timedelta(hours=2)))

    def test_that_allows_and_is_not_open_stops(self) -> None:
        closed = replace(OPEN, allows=True, window=replace(OPEN.window, schedule="0 1 * * *"))
        found = only(around(projects={"echo": Project(("*",), (closed,))}))

        assert found.problem.what == "AppProject echo: the allow window 0 1 * * * for 2h is not open"


def test_a_repository_may_be_allowed_by_a_pattern_and_kept_out_by_another() -> None:
    assert not troubles(status(around(projects={"echo": Project(("https://git.corp.local/*",))})))
    assert only(around(projects={"echo": Project(("*", f"!{REPOSITORY}"))})).stops


class TestPods:
    def test_without_a_sidecar_stop(self) -> None:
        found = only(around(without_sidecar=("v1-a", "v1-b", "v1-c", "v1-d")))

        assert found.problem == Problem(
            "4 pods have no sidecar: v1-a, v1-b, v1-c and 1 more",
            "nobody enforces mutual TLS there, and the requests that these pods send go past the split",
            "see that istiod runs and that the namespace has its label (kubectl --context ctx-a label namespace echo "
            "istio-injection=enabled --overwrite), then restart them: kubectl --context ctx-a -n echo rollout restart "
            "deployment -l app=echo",
        )
        assert found.stops

    def test_of_a_namespace_without_its_label_are_worth_saying(self) -> None:
        found = only(around(injects=False))

        assert found.problem.what == "the namespace echo has no label by which Istio injects sidecars"
        assert not found.stops

    def test_that_an_autoscaler_counts_too_are_worth_saying(self) -> None:
        found = only(around(autoscalers=(Autoscaler("echo", "echo-v1", 2, 10),)))

        assert found.problem.what == (
            "HorizontalPodAutoscaler echo scales Deployment echo-v1 to 2..10 pods, and so does Git"
        )
        assert not found.stops


def test_another_route_of_the_host_stops() -> None:
    found = only(around(rivals=("VirtualService shop/echo-2",)))

    assert found.problem == Problem(
        "VirtualService shop/echo-2 is of the host of echo too",
        "of two for one host Istio takes one, or joins them: the split does not hold for every client",
        "remove it, or give it another host: kubectl --context ctx-a -n shop edit virtualservice echo-2",
    )
    assert found.stops


class TestEnvoys:
    def test_that_may_not_be_asked_stop(self) -> None:
        found = only(region(envoys=(*envoys(), Envoy("shop/a", error="exec was refused: 403 no", refused=True))))

        assert found.problem.what == "1 of 4 Envoys may not be asked: shop/a (exec was refused: 403 no)"
        assert (
            found.problem.fix
            == "let the user of context ctx-a get and create pods/exec there, also past admission policies"
        )
        assert found.stops

    def test_that_only_did_not_answer_are_worth_saying(self) -> None:
        found = only(region(envoys=(*envoys(), Envoy("echo/new", error="exec lost its connection"))))

        assert found.problem.what == "1 of 4 Envoys could not be asked: echo/new (exec lost its connection)"
        assert not found.stops

    def test_that_are_none_stop(self) -> None:
        found = only(region(envoys=()))

        assert found.problem.what == "no Envoy is ready that can send requests, so nothing has acknowledged the weights"
        assert found.stops

    def test_that_are_not_known_are_no_trouble(self) -> None:
        assert not troubles(status(region(envoys=None)))


class TestConnections:
    WELL = dict.fromkeys((envoy.pod for envoy in envoys()), "")

    def test_that_all_have_are_no_trouble(self) -> None:
        assert not troubles(status(region(connections=self.WELL)))

    def test_that_one_lacks_stop_unless_it_has_passed(self) -> None:
        found = only(region(connections={pod: "" for pod in self.WELL if pod != "echo/v1-a"}))

        assert found.problem == Problem(
            "1 of 3 Envoys is connected to no istiod: echo/v1-a",
            "they go on with the routes that they have, and take no change",
            "see what their proxies say: kubectl --context ctx-a -n echo logs v1-a -c istio-proxy",
        )
        assert (found.stops, found.may_have_passed) == (True, True)

    def test_that_one_lacks_which_was_not_asked_stop_too(self) -> None:
        found = only(region(connections=self.WELL, others=(Envoy("shop/web"),)))

        assert found.problem.what == "1 of 4 Envoys is connected to no istiod: shop/web"

    def test_that_none_has_are_worth_saying(self) -> None:
        found = only(region(connections={"other/x": ""}))

        assert found.problem.what.startswith("3 of 3 Envoys are connected to no istiod")
        assert not found.stops

    def test_by_which_one_refused_something_stop_unless_it_has_passed(self) -> None:
        found = only(region(connections={**self.WELL, "echo/v1-a": "RouteConfiguration: duplicate domain"}))

        assert found.problem.what == (
            "1 of 3 Envoys refused what istiod sent last: echo/v1-a (RouteConfiguration: duplicate domain)"
        )
        assert (found.stops, found.may_have_passed) == (True, True)


class TestIstio:
    OLD_ECHO = Envoy("echo/v1-a", WEIGHTS, frozenset({"v1", "v2"}), istio="1.30.2", workload="deployment/echo-v1")
    NEW_ISTIOD = replace(live(route(WEIGHTS)), istiod=frozenset({"1.31.1"}))

    def test_of_a_sidecar_that_is_not_istiods_is_named_with_the_restart(self) -> None:
        old = (
            replace(self.OLD_ECHO, pod="echo-probe/probe", workload="deployment/probe"),
            self.OLD_ECHO,
            replace(self.OLD_ECHO, pod="echo/v2-a", workload="deployment/echo-v2"),
            replace(self.OLD_ECHO, pod="other/x", istio="1.31.1", workload="deployment/x"),
        )

        assert only(region(live=self.NEW_ISTIOD, envoys=old)) == Trouble(
            "region-a",
            "",
            Problem(
                "3 of 4 Envoys run Istio 1.30.2, and istiod is 1.31.1: echo-probe/probe, echo/v1-a, echo/v2-a",
                "a sidecar is only replaced with its pod",
                "restart them, one region at a time: "
                "kubectl --context ctx-a --namespace echo rollout restart deployment/echo-v1 deployment/echo-v2 && "
                "kubectl --context ctx-a --namespace echo-probe rollout restart deployment/probe",
            ),
            stops=False,
        )

    def test_of_pods_that_no_workload_keeps_names_no_command(self) -> None:
        found = only(region(live=self.NEW_ISTIOD, envoys=(replace(self.OLD_ECHO, workload=""),)))

        assert found.problem.fix == "restart them, one region at a time"

    @pytest.mark.parametrize("istiod", [{"1.30.2"}, {"1.30.2", "1.31.1"}, set()])
    def test_agrees_with_any_istiod_that_is_there_and_with_one_that_is_not_known(self, istiod: set[str]) -> None:
        there = replace(self.NEW_ISTIOD, istiod=frozenset(istiod))

        assert not troubles(status(region(live=there, envoys=(self.OLD_ECHO,))))

    def test_that_is_not_known_agrees(self) -> None:
        assert not troubles(status(region(live=self.NEW_ISTIOD, envoys=(replace(self.OLD_ECHO, istio=""),))))


def test_all_troubles_are_told_at_once() -> None:
    found = replace(
        around(
            argo_cd_away=("argocd-repo-server",),
            projects={"echo": Project((REPOSITORY,), (OPEN,))},
            without_sidecar=("v1-a",),
            rivals=("DestinationRule shop/tls",),
        ),
        application=parse_application(changed("spec", "syncPolicy", "automated", to=None)),
        envoys=(Envoy("echo/a", error="exec was refused: 403 no", refused=True),),
    )

    assert [each.problem.what.partition(":")[0] for each in troubles(status(found)) if each.stops] == [
        "argocd-repo-server has no ready pod",
        "automatic sync of Application argocd/echo is off",
        "AppProject echo",
        "1 pod has no sidecar",
        "DestinationRule shop/tls is of the host of echo too",
        "1 of 1 Envoys may not be asked",
    ]
