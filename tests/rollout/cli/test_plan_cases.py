"""What people did that a plan once called safe or did not mention: told and refused, or right and let pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rollout.planned import Project, new_planned, plan, plan_json, rules_of

BOTH = ("region-a", "region-b")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = new_planned(tmp_path / "project")
    monkeypatch.chdir(made.directory)
    return made


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new))


def refused(project: Project) -> set[str]:
    """The rules that refuse what is committed."""
    project.commit()
    document = plan_json("--base", "HEAD~1", "--head", "HEAD")
    return {rule for severity, _, rule in rules_of(document) if severity == "refused"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("dr.yaml", "  trafficPolicy:\n", "  trafficPolicy:\n    tls:\n      mode: DISABLE\n"),
        ("dr.yaml", "  trafficPolicy:\n", "  trafficPolicy:\n    loadBalancer:\n      simple: PASSTHROUGH\n"),
        ("vs.yaml", "    - route:\n", "    - timeout: 1ms\n      route:\n"),
        ("vs.yaml", "    - route:\n", "    - retries: {attempts: 0}\n      route:\n"),
        ("service.yaml", "spec:\n", "spec:\n  clusterIP: None\n"),
        ("service.yaml", "spec:\n", "spec:\n  publishNotReadyAddresses: true\n"),
        ("deployment-v1.yaml", "    spec:\n", "    spec:\n      hostNetwork: true\n"),
        (
            "deployment-v1.yaml",
            "      labels:\n",
            "      annotations: {sidecar.istio.io/inject: 'false'}\n      labels:\n",
        ),
        (
            "deployment-v1.yaml",
            "        version: v1\n    spec",
            "        sidecar.istio.io/inject: 'false'\n        version: v1\n    spec",
        ),
        ("vs.yaml", "  annotations:\n", "  annotations:\n    argocd.argoproj.io/hook: PostSync\n"),
        ("deployment-v1.yaml", "  namespace: echo\n", "  namespace: echo\n  finalizers: [corp.local/never]\n"),
    ],
)
def test_a_field_that_no_rule_judges_is_refused(project: Project, file: str, old: str, new: str) -> None:
    edit(project.overlay("region-a", file), old, new)

    assert {"objects-readable", "overlay-rendered"} <= refused(project)


def test_a_deployment_without_readiness_is_refused(project: Project) -> None:
    file = project.overlay("region-a", "deployment-v1.yaml")
    text = file.read_text()
    start, end = text.index("          readinessProbe:"), text.index("          resources:")
    file.write_text(text[:start] + text[end:])

    assert {"pods-tell-readiness", "overlay-rendered"} <= refused(project)


@pytest.mark.parametrize(
    "name", [".argocd-source.yaml", ".argocd-source-echo.yaml", "kustomization.yml", "more.yaml", "more.json"]
)
def test_a_file_beside_the_overlay_that_changes_what_is_applied_is_refused(project: Project, name: str) -> None:
    project.overlay("region-a", name).write_text("kustomize: {images: ['echo=evil:1.0.0']}\n")

    assert "objects-readable" in refused(project)


@pytest.mark.parametrize(
    "more",
    [
        "patches: [{path: p.yaml}]\n",
        "images: [{name: registry.corp.local/echo, newTag: 9.9.9}]\n",
        "namespace: other\n",
        "replicas: [{name: echo-v1, count: 0}]\n",
        "configMapGenerator: [{name: x}]\n",
        "  - https://git.corp.local/other//base\n",
        "  - ../../region-b/echo\n",
    ],
)
def test_what_kustomize_would_change_is_refused(project: Project, more: str) -> None:
    with project.overlay("region-a", "kustomization.yaml").open("a") as file:
        file.write(more)

    assert "objects-readable" in refused(project)


@pytest.mark.parametrize(
    ("version", "kind"),
    [("autoscaling/v2", "HorizontalPodAutoscaler"), ("security.istio.io/v1", "AuthorizationPolicy")],
)
def test_a_kind_that_argo_cd_may_not_apply_is_refused(project: Project, version: str, kind: str) -> None:
    project.overlay("region-a", "more.yaml").write_text(
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: echo, namespace: echo}}\nspec: {{}}\n"
    )
    with project.overlay("region-a", "kustomization.yaml").open("a") as file:
        file.write("  - more.yaml\n")

    assert "objects-readable" in refused(project)


def test_the_overlay_of_another_region_is_refused(project: Project) -> None:
    edit(
        project.stack_file("region-a"),
        "# path: deploy/overlays/region-a/echo ",
        "path: deploy/overlays/region-b/echo ",
    )

    assert {"own-place", "overlay-rendered"} <= refused(project)


def test_an_overlay_elsewhere_is_read_there(project: Project) -> None:
    elsewhere = project.directory / "deploy/elsewhere"
    project.overlay("region-a", "vs.yaml").parent.rename(elsewhere)
    edit(project.stack_file("region-a"), "# path: deploy/overlays/region-a/echo ", "path: deploy/elsewhere ")
    project.commit()
    edit(elsewhere / "vs.yaml", "weight: 90", "weight: 80")

    assert "weights-sum-100" in refused(project)


def test_a_branch_that_nobody_has_read_is_refused(project: Project) -> None:
    edit(project.stack_file("region-a"), "    # revision: main", "    revision: release")

    assert refused(project) == {"delivered-elsewhere"}


def test_a_branch_with_the_same_overlay_may_be_followed(project: Project) -> None:
    project.repository.git("branch", "release")
    edit(project.stack_file("region-a"), "    # revision: main", "    revision: refs/heads/release")

    assert refused(project) == set()


def test_a_tag_of_the_branchs_name_is_not_taken_for_it(project: Project) -> None:
    project.repository.git("branch", "release")
    project.repository.git("tag", "release")
    project.repository.git("switch", "--quiet", "release")
    project.weigh(v1=75, v2=25)
    project.commit()
    project.repository.git("switch", "--quiet", "main")
    edit(project.stack_file("region-a"), "    # revision: main", "    revision: refs/heads/release")

    assert refused(project) == {"delivered-elsewhere"}


def test_a_plan_against_a_branch_that_nobody_follows_is_refused(project: Project) -> None:
    project.repository.git("branch", "release")
    project.weigh(v1=75, v2=25)

    assert {("refused", region, "delivered-elsewhere") for region in BOTH} <= set(
        rules_of(plan_json("--base", "release"))
    )


def test_another_repository_is_said_not_to_be_read(project: Project) -> None:
    edit(project.stack_file("region-a"), "git.corp.local/platform", "git.corp.local/other")

    assert ("warning", "region-a", "delivered-elsewhere") in rules_of(plan_json())


def test_a_key_that_is_there_twice_is_refused(project: Project) -> None:
    edit(project.overlay("region-a", "deployment-v1.yaml"), "  replicas: 3\n", "  replicas: 0\n  replicas: 3\n")

    assert "objects-readable" in refused(project)


def test_a_change_of_the_components_is_told_and_not_rendered_in_one_region_only(project: Project) -> None:
    (project.directory / "components").mkdir()
    (project.directory / "components/service.py").write_text("# other components\n")

    ran = plan()

    assert ran.exit_code == 1
    assert "warning: every region: components/service.py: what makes the objects is not what it was" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "safe, 1 warning"


def test_a_field_of_a_template_tells_which_pods_restart(project: Project) -> None:
    edit(project.overlay("region-a", "deployment-v1.yaml"), "path: /readyz", "path: /other")
    project.commit()

    told = plan("--base", "HEAD~1", "--head", "HEAD").stdout

    assert (
        "  commit: Deployment echo/echo-v1: spec.template.spec.containers[echo].readinessProbe.httpGet.path: /readyz → /other "
        "(restarts its 3 pods)"
    ) in told
    assert "all 3 pods of v1, with 90 % of the requests, are replaced one after the other" in told


def test_a_field_of_a_template_in_both_regions_is_refused_with_the_way_in_steps(project: Project) -> None:
    for region in BOTH:
        for version in ("v1", "v2"):
            edit(project.overlay(region, f"deployment-{version}.yaml"), "path: /readyz", "path: /other")

    assert "pods-changed-in-one-region" in refused(project)


def test_a_change_of_the_components_goes_through_one_region_at_a_time(project: Project) -> None:
    for region in BOTH:
        edit(project.overlay(region, "deployment-v1.yaml"), "path: /readyz", "path: /other")
    project.commit()
    (project.directory / "components").mkdir()
    (project.directory / "components/service.py").write_text("# other components, which ask /readyz\n")
    edit(project.overlay("region-a", "deployment-v1.yaml"), "path: /other", "path: /readyz")
    project.commit()

    document = plan_json("--base", "HEAD~1", "--head", "HEAD")

    assert rules_of(document) == [
        ("warning", "region-b", "overlay-rendered"),
        ("warning", "every region", "program-changed"),
        ("warning", "region-a", "pods-changed-under-requests"),
    ]
    assert document["findings"][0]["mend"] == "render it in a change of its own: rollout render --region region-b"


def test_a_renamed_context_says_what_it_does_not_know(project: Project) -> None:
    edit(project.stack_file("region-a"), "    context: region-a", "    context: renamed")

    document = plan_json()

    assert (document["verdict"], rules_of(document)) == ("safe", [])
    assert any(each.startswith("the context renamed is the cluster of region-a") for each in document["assumed"])


def test_pools_that_are_too_small_are_warned_of_with_the_arithmetic(project: Project) -> None:
    for region in BOTH:
        edit(
            project.stack_file(region),
            "    # connectionPool: {http1MaxPendingRequests: 1000, maxRequestsPerConnection: 100, maxConnections: 1000}",
            "    connectionPool: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1, maxConnections: 1}",
        )
    project.render()

    document = plan_json()

    assert {("warning", region, rule) for region in BOTH for rule in ("pool-has-room", "pool-reaches-pods")} <= set(
        rules_of(document)
    )
    assert "1 connections and 1 requests that wait are room for 2 at once" in document["findings"][0]["what"]


def test_nothing_changes_is_said_only_where_no_byte_does(project: Project) -> None:
    edit(project.overlay("region-a", "deployment-v1.yaml"), "revisionHistoryLimit: 5", "revisionHistoryLimit: 4")
    project.commit()

    document = plan_json("--base", "HEAD~1", "--head", "HEAD")

    assert [each["state"] for each in document["regions"]] == ["changed", "unchanged"]
    assert [each["field"] for each in document["regions"][0]["differences"]] == ["spec.revisionHistoryLimit"]


def test_a_link_beside_the_overlay_is_no_way_around(project: Project) -> None:
    (project.directory / "elsewhere.yaml").write_text("kustomize: {images: ['echo=evil:1.0.0']}\n")
    project.overlay("region-a", ".argocd-source-echo.yaml").symlink_to("../../../../elsewhere.yaml")

    assert "objects-readable" in refused(project)


def test_a_link_in_the_overlay_is_no_object(project: Project) -> None:
    file = project.overlay("region-a", "vs.yaml")
    file.rename(project.directory / "vs.yaml")
    file.symlink_to("../../../../vs.yaml")

    assert "objects-readable" in refused(project)
