"""A password in a repository's address ends up in the state, in the cluster and in the log of every sync.

And a path that leads out of the repository, or a branch that cannot be one, would only be told by Argo CD, long after `pulumi up`.
"""

from typing import Any

import pytest

from stackfile.model import OFFICIAL_MANIFEST
from tests.stackfile.stack_values import MINIMAL, parse, the_problem, with_value


def without_repository(**changed: Any) -> dict[str, Any]:
    return {**{key: value for key, value in MINIMAL.items() if key != "repository"}, **changed}


def test_argo_cd_delivers_main_with_the_official_manifest_unless_it_is_said() -> None:
    config = parse(MINIMAL)
    assert config.delivery == "gitops"
    assert config.repository is not None
    assert (config.repository.revision, config.repository.secret) == ("main", None)
    assert config.argocd.model_dump() == {
        "install": True,
        "retain": False,
        "manifest": OFFICIAL_MANIFEST,
        "images": {"argocd": None, "redis": None},
        "image_pull_policy": None,
        "application_sets": True,
        "project": "echo",
        "cascade": False,
    }


@pytest.mark.parametrize("delivery", ["gitops", "handover"])
def test_a_repository_is_needed_where_argo_cd_delivers(delivery: str) -> None:
    problem = the_problem(without_repository(delivery=delivery))
    assert "$.repository: is missing — Argo CD would have nothing to deliver; give the Git repository" in problem


def test_no_repository_is_needed_where_pulumi_delivers() -> None:
    assert parse(without_repository(delivery="direct")).repository is None


def test_a_repository_without_its_address_is_refused() -> None:
    problem = the_problem({**MINIMAL, "repository": {"revision": "main"}})
    assert "$.repository.url: is missing and has no default — give the Git repository's address" in problem


def test_a_repository_that_is_only_an_address_is_refused_with_what_belongs_there() -> None:
    problem = the_problem(without_repository(repository="https://git.corp.local/a.git"))
    assert "$.repository: " in problem
    assert " is not an object of keys and values — give the Git repository" in problem


@pytest.mark.parametrize(
    "url",
    [
        "https://git.corp.local/platform/echo-rollout.git",
        "https://git.corp.local:8443/echo-rollout",
        "git://10.200.0.1/echo-rollout.git",
        "ssh://git@git.corp.local:22/platform/echo-rollout.git",
        "ssh://git.corp.local/platform/echo-rollout.git",
        "git@github.com:platform/echo-rollout.git",
        "https://[fd00::1]:8443/echo-rollout.git",
    ],
)
def test_the_address_of_a_repository_is_kept_as_it_is_written(url: str) -> None:
    repository = parse(with_value("repository.url", url)).repository
    assert repository is not None
    assert repository.url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "echo-rollout",
        "./echo-rollout",
        "/srv/git/echo-rollout.git",
        "file:///srv/git/echo-rollout.git",
        "http://git.corp.local/echo-rollout.git",
        "https://git.corp.local",
        "https:///echo-rollout.git",
        "https://git..local/echo-rollout.git",
        "https://git.corp.local:0/echo-rollout.git",
        "https://git.corp.local/echo rollout.git.command",
        "https://git.corp.local/echo-rollout.git?private_token=abc",
        "git@github.com/platform/echo-rollout.git",
    ],
)
def test_what_is_no_address_of_a_repository_is_refused(url: str) -> None:
    problem = the_problem(with_value("repository.url", url))
    assert "$.repository.url: " in problem
    assert " is not the address of a Git repository — " in problem


@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@git.corp.local/echo-rollout.git",
        "https://s3cret@git.corp.local/echo-rollout.git",
        "git://user:s3cret@git.corp.local/echo-rollout.git",
        "ssh://git:s3cret@git.corp.local/echo-rollout.git",
        "http://user:s3cret@git.corp.local/echo-rollout.git",
        "git:s3cret@git.corp.local:echo-rollout.git",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(url: str) -> None:
    problem = the_problem(with_value("repository.url", url))
    assert "$.repository.url: there is a user or a password in the address — " in problem
    assert "repository.secret" in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize("revision", ["main", "release/1.0", "v1.2.3", "0a1b2c3d", "feature_x+y"])
def test_a_branch_a_tag_or_a_commit_is_accepted(revision: str) -> None:
    repository = parse(with_value("repository.revision", revision)).repository
    assert repository is not None
    assert repository.revision == revision


@pytest.mark.parametrize(
    "revision",
    ["", "-f", "a..b", "a b", "/main", "main/", "a//b", "main.lock", "a~1", "main^", "a:b", "@{u}", ".a", "a/.b"],
)
def test_a_revision_that_git_would_not_take_for_one_name_is_refused(revision: str) -> None:
    problem = the_problem(with_value("repository.revision", revision))
    assert "$.repository.revision: " in problem
    assert " is not the name of a branch, a tag or a commit — " in problem


@pytest.mark.parametrize("path", ["deploy", "deploy/overlays/region-a/echo", "a.b/..c"])
def test_a_folder_of_the_repository_is_accepted(path: str) -> None:
    assert parse(with_value("services.echo.path", path)).services["echo"].path == path


@pytest.mark.parametrize(
    "path", ["", "/deploy", "..", "../deploy", "deploy/../..", "deploy/..", "deploy/", ".", "a\\b", "a b"]
)
def test_a_path_that_may_lead_out_of_the_repository_is_refused(path: str) -> None:
    assert " is not a folder's path from the root of the repository — " in the_problem(
        with_value("services.echo.path", path)
    )


@pytest.mark.parametrize("name", ["", "Git", "a_b", "-a", "a..b", "argocd/git", "a" * 254])
def test_a_secret_whose_name_cannot_be_one_is_refused(name: str) -> None:
    assert "$.repository.secret: " in the_problem(with_value("repository.secret", name))


@pytest.mark.parametrize(
    "manifest", ["https://git.corp.local/install.yaml", "install.yaml", "/srv/argocd/install.yaml"]
)
def test_a_manifest_is_an_address_or_a_path(manifest: str) -> None:
    assert parse(with_value("argocd.manifest", manifest)).argocd.manifest == manifest


@pytest.mark.parametrize("manifest", ["", "ftp://git.corp.local/install.yaml", "file:///install.yaml", "a\nb"])
def test_a_manifest_that_nobody_would_fetch_is_refused(manifest: str) -> None:
    assert "$.argocd.manifest: " in the_problem(with_value("argocd.manifest", manifest))


def test_a_password_in_the_manifests_address_is_refused_and_not_repeated() -> None:
    problem = the_problem(with_value("argocd.manifest", "https://user:s3cret@git.corp.local/install.yaml"))
    assert "$.argocd.manifest: there is a user or a password in the address — " in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize("kind", ["argocd", "redis"])
def test_an_image_of_argo_cd_that_may_change_under_its_name_is_refused(kind: str) -> None:
    assert f"$.argocd.images.{kind}: " in the_problem(with_value(f"argocd.images.{kind}", "localhost/image:latest"))


def test_an_image_of_argo_cd_that_cannot_be_replaced_is_refused_with_those_that_can() -> None:
    problem = the_problem(with_value("argocd.images.dex", "dex:1"))
    assert problem.endswith("the known keys here are argocd, redis")


def test_a_pull_policy_that_is_none_is_refused() -> None:
    problem = the_problem(with_value("argocd.imagePullPolicy", "Sometimes"))
    assert '"Sometimes" is not a value known here — give Always, IfNotPresent or Never' in problem


@pytest.mark.parametrize("value", ["true", "yes", 1])
def test_cascade_is_true_or_false_and_nothing_like_it(value: object) -> None:
    assert "$.argocd.cascade: " in (problem := the_problem(with_value("argocd.cascade", value)))
    assert " is neither true nor false — give true: " in problem
