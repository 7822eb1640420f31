from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from rollout.access import RegionAccess
from rollout.cluster.application import (
    Application,
    SyncPolicy,
    parse_application,
    read_application,
    settled_application,
    synced_commit,
)
from rollout.problem import RolloutError
from tests.rollout.cluster.applications import NEW, OLD, application, refused, unreadable, well
from tests.rollout.cluster.fake_cluster import FakeCluster, serving


class TestSyncedCommit:
    def test_of_an_application_that_was_never_synced_is_refused_with_its_reasons(self) -> None:
        with pytest.raises(RolloutError) as found:
            synced_commit(parse_application(unreadable()))

        assert found.value.problems[0].what == (
            "Application argocd/echo was never synced: "
            "ComparisonError: deploy/overlays/region-a/echo: app path does not exist"
        )

    def test_of_an_application_that_argo_cd_has_not_seen_is_refused_with_its_state(self) -> None:
        with pytest.raises(RolloutError, match="was never synced: sync Unknown, health Unknown"):
            synced_commit(parse_application(application()))


class TestParse:
    def test_takes_all_that_is_said_of_a_sync_that_failed(self) -> None:
        assert parse_application(refused()) == Application(
            name="argocd/echo",
            repository="https://git.corp.local/platform/echo-rollout.git",
            path="deploy/overlays/region-a/echo",
            target_revision="main",
            sync="OutOfSync",
            health="Healthy",
            compared_revision=NEW,
            history=(OLD,),
            tried_revision=NEW,
            is_syncing=False,
            conditions=(),
            failures=(
                f"sync of {NEW} Failed: one or more objects failed to apply",
                "VirtualService echo/echo: weight 190 is too much",
            ),
            has_failed=True,
            policy=SyncPolicy(automated=True, prune=True, self_heal=True),
            project="echo",
            destinations=("https://kubernetes.default.svc",),
            namespace="echo",
            applied_revision=OLD,
        )

    def test_of_one_that_argo_cd_has_not_seen_yet_knows_nothing(self) -> None:
        parsed = parse_application(application())

        assert (parsed.sync, parsed.health, parsed.synced_revision) == ("Unknown", "Unknown", None)
        assert (parsed.history, parsed.tried_revision, parsed.is_syncing, parsed.complaints) == ((), "", False, ())

    @pytest.mark.parametrize("missing", ["history", "conditions", "operationState"])
    def test_takes_null_for_nothing(self, missing: str) -> None:
        document = well()
        document["status"][missing] = None

        assert parse_application(document).sync == "Synced"


class TestPolicy:
    @pytest.mark.parametrize(
        ("automated", "policy"),
        [
            ({"prune": True, "selfHeal": True}, SyncPolicy(True, True, True)),
            ({"enabled": True, "prune": True}, SyncPolicy(True, True, False)),
            ({}, SyncPolicy(True, False, False)),
            ({"enabled": False, "prune": True, "selfHeal": True}, SyncPolicy()),
            (None, SyncPolicy()),
        ],
    )
    def test_is_what_argo_cd_does_by_itself(self, automated: dict[str, bool] | None, policy: SyncPolicy) -> None:
        document = application()
        document["spec"]["syncPolicy"] = {"automated": automated} if automated is not None else {"retry": {"limit": 5}}

        assert parse_application(document).policy == policy

    @pytest.mark.parametrize(("value", "skipped"), [("true", True), ("1", True), ("false", False), ("yes", False)])
    def test_is_to_leave_it_alone_where_an_annotation_says_so(self, value: str, skipped: bool) -> None:
        document = application()
        document["metadata"]["annotations"] = {"argocd.argoproj.io/skip-reconcile": value}

        assert parse_application(document).skipped is skipped


class TestHasGivenUp:
    def test_on_a_commit_whose_sync_failed(self) -> None:
        assert parse_application(refused()).has_given_up

    def test_not_while_the_sync_is_tried_again(self) -> None:
        document = refused()
        document["status"]["operationState"]["phase"] = "Running"

        assert not parse_application(document).has_given_up

    def test_not_where_it_is_about_to_sync_another_commit(self) -> None:
        document = refused()
        document["status"]["sync"]["revision"] = OLD

        assert not parse_application(document).has_given_up


class TestSyncedRevision:
    def test_is_the_one_compared_with_while_synced(self) -> None:
        assert parse_application(well(NEW, OLD)).synced_revision == NEW

    def test_is_that_of_the_last_successful_sync_while_a_newer_one_is_not_applied(self) -> None:
        assert parse_application(refused()).synced_revision == OLD

    def test_is_the_last_of_the_history(self) -> None:
        document = well(NEW, NEW, OLD)
        document["status"]["sync"] = {"status": "OutOfSync", "revision": NEW}

        assert parse_application(document).synced_revision == OLD

    def test_is_none_when_nothing_was_ever_synced(self) -> None:
        assert parse_application(unreadable()).synced_revision is None


class TestIsWell:
    def test_when_synced_and_healthy(self) -> None:
        assert parse_application(well()).is_well

    @pytest.mark.parametrize(
        "status",
        [{"sync": {"status": "OutOfSync", "revision": NEW}}, {"health": {"status": "Degraded"}}],
    )
    def test_not_otherwise(self, status: dict[str, Any]) -> None:
        document = well()
        document["status"] |= status

        assert not parse_application(document).is_well


class TestComplaints:
    def test_are_none_when_all_is_well(self) -> None:
        assert parse_application(well()).complaints == ()

    def test_name_the_objects_also_while_the_sync_is_tried_again(self) -> None:
        document = refused()
        document["status"]["operationState"] |= {"phase": "Running", "message": "Retrying attempt #1"}

        assert parse_application(document).complaints == (
            f"sync of {NEW} Running: Retrying attempt #1",
            "VirtualService echo/echo: weight 190 is too much",
        )

    def test_say_what_failed_before_there_was_a_result(self) -> None:
        parsed = parse_application(application(operationState={"phase": "Error", "message": "no such branch"}))

        assert parsed.complaints == ("sync Error: no such branch",)

    def test_hold_the_conditions(self) -> None:
        assert parse_application(unreadable()).complaints == (
            "ComparisonError: deploy/overlays/region-a/echo: app path does not exist",
        )


class TestMoving:
    def test_is_what_was_asked_to_look(self) -> None:
        document = well()
        document["metadata"]["annotations"] = {"argocd.argoproj.io/refresh": "normal"}

        assert parse_application(document).is_moving

    def test_is_a_commit_that_was_compared_and_not_tried(self) -> None:
        document = well(OLD)
        document["status"]["sync"] = {"status": "OutOfSync", "revision": NEW}

        assert parse_application(document).is_moving

    def test_is_a_sync_that_goes_on(self) -> None:
        document = well()
        document["status"]["operationState"]["phase"] = "Running"

        assert parse_application(document).is_moving

    def test_is_none_that_failed_or_is_done(self) -> None:
        assert not parse_application(refused()).is_moving
        assert not parse_application(well()).is_moving

    def test_is_waited_for(self, tmp_path: Path) -> None:
        asked = well(OLD)
        asked["metadata"]["annotations"] = {"argocd.argoproj.io/refresh": "normal"}
        cluster = FakeCluster(applications={"argocd/echo": asked})
        with serving(cluster) as port:
            region = RegionAccess(
                "region-a", "stack-a", "ctx", cluster.kubeconfig(tmp_path / "kubeconfig", "ctx", port)
            )
            threading.Timer(0.5, cluster.applications.__setitem__, ("argocd/echo", well(NEW))).start()

            assert settled_application(region, "argocd/echo").synced_revision == NEW


class TestRead:
    def read_from(self, cluster: FakeCluster, directory: Path) -> Application:
        with serving(cluster) as port:
            region = RegionAccess(
                "region-a", "stack-a", "ctx", cluster.kubeconfig(directory / "kubeconfig", "ctx", port)
            )
            return read_application(region, "argocd/echo")

    def test_asks_the_regions_cluster(self, tmp_path: Path) -> None:
        cluster = FakeCluster(applications={"argocd/echo": well(), "argocd/other": refused()})

        assert self.read_from(cluster, tmp_path) == parse_application(well())

    def test_one_that_is_not_there_names_the_command_that_brings_it(self, tmp_path: Path) -> None:
        with pytest.raises(RolloutError) as refusal:
            self.read_from(FakeCluster(), tmp_path)

        (problem,) = refusal.value.problems
        assert problem.what == "region-a: there is no Application argocd/echo in the cluster of context ctx"
        assert "pulumi up -s stack-a" in problem.fix

    def test_a_cluster_that_refuses_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(RolloutError, match="refused to read Application argocd/echo: 403 Forbidden"):
            self.read_from(FakeCluster(refuse_applications=403), tmp_path)


class TestAppliedRevision:
    def test_is_that_of_a_sync_of_single_objects_which_the_history_lacks(self) -> None:
        assert parse_application(well(NEW, OLD)).applied_revision == NEW

    @pytest.mark.parametrize("phase", ["Failed", "Error", "Running"])
    def test_is_the_last_of_the_history_where_no_later_sync_succeeded(self, phase: str) -> None:
        document = well(NEW, OLD)
        document["status"]["operationState"]["phase"] = phase

        assert parse_application(document).applied_revision == OLD

    def test_is_not_known_before_the_first(self) -> None:
        assert parse_application(unreadable()).applied_revision == ""
