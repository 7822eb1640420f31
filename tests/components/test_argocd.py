"""An Application that is deleted after its Argo CD waits for ever for somebody to take its finalizer away.

And one that may change more than it has to is as powerful as whoever can push to its repository.
"""

import json
from typing import Any

import pulumi
import pytest
import yaml

from components.application import Applications, ApplicationsArgs
from stackfile.model import RepositoryConfig
from tests.components.graph import (
    MANIFEST,
    STACK_FILES,
    Graph,
    Node,
    World,
    attempt,
    record_component,
    record_stack,
    run_main,
    shipped_echo,
    stack_config,
)
from tests.stackfile.stack_values import MINIMAL, parse

URL = "https://git.corp.local/platform/echo-rollout.git"
FINALIZER = "resources-finalizer.argocd.argoproj.io"
SECRET = "argocd/git"
LABELLED = {SECRET: {"argocd.argoproj.io/secret-type": "repository"}}


@pytest.fixture
def gitops(deliveries: dict[str, list[Graph]]) -> Graph:
    return deliveries["gitops"][0]


@pytest.fixture(autouse=True)
def with_a_kubeconfig(monkeypatch: pytest.MonkeyPatch, kubeconfig: Any) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))


def of_the_manifest(graph: Graph) -> list[Node]:
    """Everything that the manifest holds."""
    file = graph.the("ConfigFile", "argocd")
    return [node for node in graph if node.parent == file.urn or node.kind == "CustomResourceDefinition"]


def settings(url: str = URL, **more: str) -> RepositoryConfig:
    return RepositoryConfig.model_validate({"url": url, **more})


# --- order


def test_the_application_waits_for_everything_of_argo_cd(gitops: Graph) -> None:
    application = gitops.the("Application", "echo")
    objects = of_the_manifest(gitops)
    assert len(objects) == MANIFEST.read_text().count("apiVersion:")
    assert [node.urn for node in objects if not gitops.waits_for(application, node)] == []


def test_the_project_waits_for_everything_of_argo_cd(gitops: Graph) -> None:
    project = gitops.the("AppProject", "echo")
    assert all(gitops.waits_for(project, node) for node in of_the_manifest(gitops))


def test_the_application_waits_for_its_project(gitops: Graph) -> None:
    assert gitops.waits_for(gitops.the("Application", "echo"), gitops.the("AppProject", "echo"))


def test_what_argo_cd_delivers_goes_into_a_namespace_that_is_there(gitops: Graph) -> None:
    application = gitops.the("Application", "echo")
    assert gitops.waits_for(application, gitops.the("Namespace", "echo"))
    assert gitops.waits_for(application, gitops.the("Release", "istio-istiod"))


def test_argo_cd_and_istio_do_not_wait_for_each_other(gitops: Graph) -> None:
    istio = [node for node in gitops if node.kind == "Release"]
    assert len(istio) == 3
    for mine in of_the_manifest(gitops):
        assert not any(gitops.waits_for(mine, other) or gitops.waits_for(other, mine) for other in istio)


def test_the_order_is_the_same_in_a_preview() -> None:
    graph = record_stack(STACK_FILES[0], World(preview=True))
    application = graph.the("Application", "echo")
    assert all(graph.waits_for(application, node) for node in of_the_manifest(graph))


# --- the installation


def test_a_definition_is_registered_as_the_manifest_has_it(gitops: Graph) -> None:
    manifest = {each["metadata"]["name"]: each for each in yaml.safe_load_all(MANIFEST.read_text())}
    definition = gitops.the("CustomResourceDefinition", "applications.argoproj.io")
    assert definition.inputs == manifest["applications.argoproj.io"]


def test_a_workload_of_argo_cd_that_is_not_ready_in_five_minutes_is_told(gitops: Graph) -> None:
    workloads = [node for node in of_the_manifest(gitops) if node.kind in ("Deployment", "StatefulSet")]
    assert len(workloads) == 3
    assert {node.timeouts for node in workloads} == {("5m", "5m")}


def test_the_manifest_is_adapted_to_the_stack_file() -> None:
    graph = record_stack(
        STACK_FILES[0],
        argocd={"images": {"argocd": "localhost/argocd:1", "redis": "localhost/redis:1"}, "imagePullPolicy": "Never"},
    )
    pod = graph.the("Deployment", "argocd/argocd-redis").inputs["spec"]["template"]["spec"]
    assert [(each["image"], each["imagePullPolicy"]) for each in (*pod["containers"], *pod["initContainers"])] == [
        ("localhost/redis:1", "Never"),
        ("localhost/argocd:1", "Never"),
    ]


def test_what_argo_cd_writes_into_its_secret_is_not_taken_from_it(gitops: Graph) -> None:
    secret = gitops.the("Secret", "argocd/argocd-secret")
    assert not {"data", "stringData"} & secret.inputs.keys()


# --- the project


def test_the_project_allows_one_repository_and_one_namespace(gitops: Graph) -> None:
    spec = gitops.the("AppProject", "echo").inputs["spec"]
    assert spec["sourceRepos"] == [URL]
    assert spec["destinations"] == [{"server": "https://kubernetes.default.svc", "namespace": "echo"}]


def test_the_project_allows_nothing_that_belongs_to_the_cluster(gitops: Graph) -> None:
    assert gitops.the("AppProject", "echo").inputs["spec"]["clusterResourceWhitelist"] == []


def test_the_project_allows_exactly_the_kinds_that_the_workloads_have(deliveries: dict[str, list[Graph]]) -> None:
    graph = deliveries["handover"][0]
    components = [graph.the("ServiceDeployments", "echo").urn, graph.the("TrafficPolicy", "echo").urn]
    groups = {
        ("/" + node.inputs["apiVersion"]).rpartition("/")[0].strip("/"): set[str]()
        for node in graph
        if node.parent in components
    }
    for node in graph:
        if node.parent in components:
            groups[("/" + node.inputs["apiVersion"]).rpartition("/")[0].strip("/")].add(node.kind)
    allowed = graph.the("AppProject", "echo").inputs["spec"]["namespaceResourceWhitelist"]
    assert sorted((entry["group"], entry["kind"]) for entry in allowed) == sorted(
        (group, kind) for group, kinds in groups.items() for kind in kinds
    )


# --- the application


def test_the_application_follows_this_regions_overlay_into_this_cluster(gitops: Graph) -> None:
    spec = gitops.the("Application", "echo").inputs["spec"]
    assert spec["project"] == gitops.the("AppProject", "echo").metadata["name"] == "echo"
    assert spec["source"] == {"repoURL": URL, "targetRevision": "main", "path": "deploy/overlays/region-a/echo"}
    assert spec["destination"] == {"server": "https://kubernetes.default.svc", "namespace": "echo"}


def test_the_repository_is_the_stack_files() -> None:
    other = {"url": "git@git.corp.local:fork.git", "revision": "canary"}
    graph = record_stack(STACK_FILES[0], repository=other, services=shipped_echo(path="out/north"))
    assert graph.the("AppProject", "echo").inputs["spec"]["sourceRepos"] == ["git@git.corp.local:fork.git"]
    assert graph.the("Application", "echo").inputs["spec"]["source"] == {
        "repoURL": "git@git.corp.local:fork.git",
        "targetRevision": "canary",
        "path": "out/north",
    }


def test_what_is_changed_by_hand_or_gone_from_git_is_set_right(gitops: Graph) -> None:
    policy = gitops.the("Application", "echo").inputs["spec"]["syncPolicy"]
    # no allowEmpty: a commit that empties the overlay deletes nothing
    assert policy["automated"] == {"prune": True, "selfHeal": True}
    assert sorted(policy["syncOptions"]) == ["ApplyOutOfSyncOnly=true", "PruneLast=true", "ServerSideApply=true"]


def test_all_of_a_commit_is_judged_before_any_of_it_is_applied(gitops: Graph) -> None:
    annotations = gitops.the("Application", "echo").metadata["annotations"]
    assert annotations == {"argocd.argoproj.io/compare-options": "ServerSideDiff=true"}


def test_a_good_commit_need_not_wait_for_a_bad_one(gitops: Graph) -> None:
    retry = gitops.the("Application", "echo").inputs["spec"]["syncPolicy"]["retry"]
    assert retry["refresh"] is True
    assert retry["backoff"] == {"duration": "1s", "factor": 2, "maxDuration": "5s"}


def test_a_sync_is_tried_again_for_some_minutes_and_not_for_ever(gitops: Graph) -> None:
    retry = gitops.the("Application", "echo").inputs["spec"]["syncPolicy"]["retry"]
    seconds = sum(min(5, 2**attempt) for attempt in range(int(retry["limit"])))
    assert 240 <= seconds <= 600


def test_the_application_is_where_the_output_says(gitops: Graph) -> None:
    metadata = gitops.the("Application", "echo").metadata
    assert f"{metadata['namespace']}/{metadata['name']}" == gitops.outputs["services"]["echo"]["application"]


# --- what becomes of the workloads


def test_the_workloads_outlive_their_application(gitops: Graph) -> None:
    assert "finalizers" not in gitops.the("Application", "echo").metadata


def test_the_workloads_go_with_their_application_where_that_is_wanted() -> None:
    graph = record_stack(STACK_FILES[0], argocd={"cascade": True})
    assert graph.the("Application", "echo").metadata["finalizers"] == [FINALIZER]


def test_nothing_goes_with_the_application_during_a_handover() -> None:
    graph = record_stack(STACK_FILES[0], delivery="handover", argocd={"cascade": True})
    assert "finalizers" not in graph.the("Application", "echo").metadata


# --- a private repository


def test_the_application_waits_for_its_credentials_and_they_for_argo_cd() -> None:
    graph = record_stack(STACK_FILES[0], World(secrets=LABELLED), repository={"secret": "git"})
    secret = graph.the("Secret", "echo-repository")
    assert graph.waits_for(graph.the("Application", "echo"), secret)
    assert all(graph.waits_for(secret, node) for node in of_the_manifest(graph))


def test_credentials_that_argo_cd_would_not_see_are_refused() -> None:
    world = World(secrets={SECRET: {"argocd.argoproj.io/secret-type": "cluster"}})
    graph, error = attempt(run_main, stack_config(STACK_FILES[0], repository={"secret": "git"}), world=world)
    assert isinstance(error, pulumi.RunError)
    assert str(error) == (
        'repository.secret "git" has not the label argocd.argoproj.io/secret-type: repository — Argo CD would not see it, and '
        "could not read the repository; kubectl -n argocd label secret git argocd.argoproj.io/secret-type=repository"
    )
    assert "Application" not in [node.kind for node in graph]


def test_a_first_preview_does_not_look_for_credentials_where_there_is_no_argo_cd_yet() -> None:
    graph = record_stack(STACK_FILES[0], World(preview=True), repository={"secret": "git"})
    assert graph.the("Application", "echo").inputs["kind"] == "Application"


def test_credentials_are_not_among_the_outputs() -> None:
    graph = record_stack(STACK_FILES[0], World(secrets=LABELLED), repository={"secret": "git"})
    assert "secret" not in json.dumps(graph.outputs).lower()


# --- on its own


def test_applications_can_be_used_on_their_own() -> None:
    args = ApplicationsArgs(
        region="north",
        services=[*parse(MINIMAL).services.values()],
        project="shop",
        repository=settings(),
        argocd="argocd",
        cascade=False,
    )
    graph = record_component(lambda: Applications("alone", args))
    application = graph.the("Application", "echo").inputs["spec"]
    assert application["source"]["path"] == "deploy/overlays/north/echo"
    assert application["project"] == graph.the("AppProject", "shop").metadata["name"] == "shop"
