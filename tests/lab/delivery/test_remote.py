"""What is committed reaches the regions, by one push from any branch, and nothing that somebody has pushed is taken away unasked."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.delivery.remote import Remote, head
from lab.place import Lab
from lab.report import LabError

_KUBECTL = """\
#!/bin/sh
echo "$@" >> '{record}'
case "$*" in
*--context=region-a*) {region_a} ;;
esac
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's own settings, and nothing of this machine's."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text("[user]\n\tname = A Person\n\temail = person@corp.local\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return tmp_path / "home"


def _git(directory: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=directory, check=check, capture_output=True, text=True)


def _commit(checkout: Path, subject: str) -> str:
    _git(checkout, "commit", "--quiet", "--allow-empty", "--message", subject)
    return _git(checkout, "rev-parse", "HEAD").stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    made = tmp_path / "checkout"
    (made / "deploy").mkdir(parents=True)
    (made / "deploy" / "vs.yaml").write_text("weight: 90\n")
    (made / ".gitignore").write_text("/.lab/\n")
    _git(made, "init", "--quiet", "--initial-branch=trunk")
    _git(made, "add", "--all")
    _commit(made, "Begin")
    return made


@pytest.fixture
def kubectl(tmp_path: Path) -> Callable[..., Path]:
    """Makes a kubectl that writes down what it is asked, and does in region-a what it is told here."""

    def make(region_a: str = "exit 0") -> Path:
        program = tmp_path / "kubectl"
        program.write_text(_KUBECTL.format(record=tmp_path / "asked", region_a=region_a))
        program.chmod(0o755)
        return program

    return make


@pytest.fixture
def remote(checkout: Path, kubectl: Callable[..., Path], tmp_path: Path) -> Remote:
    made = Remote(Lab(checkout, checkout / ".lab", tmp_path / "cache"))
    made.make(kubectl())
    return made


def _main(remote: Remote) -> str:
    return _git(remote.repository, "rev-parse", "refs/heads/main").stdout.strip()


def _elsewhere(remote: Remote, tmp_path: Path) -> Path:
    """Another person's clone of what was pushed."""
    _git(tmp_path, "clone", "--quiet", str(remote.repository), "elsewhere")
    return tmp_path / "elsewhere"


def test_a_push_from_any_branch_reaches_main(remote: Remote, checkout: Path) -> None:
    _git(checkout, "switch", "--quiet", "--create", "feature")
    commit = _commit(checkout, "Shift")
    _git(checkout, "push", "lab")
    assert _main(remote) == commit


def test_what_is_checked_out_is_published(remote: Remote, checkout: Path) -> None:
    said: list[str] = []
    published = remote.publish(said.append)
    assert _main(remote) == published.id == _git(checkout, "rev-parse", "HEAD").stdout.strip()
    assert said == [f"pushed {published.id[:7]} (Begin) to the lab's Git"]


def test_what_is_there_is_not_pushed_again(remote: Remote) -> None:
    said: list[str] = []
    remote.publish(lambda _: None)
    remote.publish(said.append)
    assert said == []


def test_what_is_not_committed_is_named(remote: Remote, checkout: Path) -> None:
    (checkout / "deploy" / "vs.yaml").write_text("weight: 50\n")
    (checkout / "Pulumi.region-b.yaml").write_text("config: {}\n")
    (checkout / "notes.txt").write_text("of no concern\n")
    said: list[str] = []
    remote.publish(said.append)
    assert said[-1] == "not committed: deploy/vs.yaml, Pulumi.region-b.yaml; the regions get what is committed"


def test_a_push_that_would_take_commits_away_is_refused(remote: Remote, checkout: Path, tmp_path: Path) -> None:
    remote.publish(lambda _: None)
    elsewhere = _elsewhere(remote, tmp_path)
    theirs = _commit(elsewhere, "Theirs")
    _git(elsewhere, "push", "--quiet", "origin", "HEAD:main")
    _commit(checkout, "Ours")
    with pytest.raises(LabError) as refused:
        remote.publish(lambda _: None)
    text = str(refused.value)
    assert f"  {theirs[:7]} (Theirs)\n" in text
    assert "(Begin)" not in text
    assert "git pull lab main" in text
    assert "git push --force lab" in text
    assert _main(remote) == theirs


def test_the_ways_out_of_a_refusal_are_ways_out(remote: Remote, checkout: Path) -> None:
    remote.publish(lambda _: None)
    first = _commit(checkout, "First")
    remote.publish(lambda _: None)
    _git(checkout, "commit", "--quiet", "--amend", "--allow-empty", "--message", "Amended")
    with pytest.raises(LabError, match="First"):
        remote.publish(lambda _: None)
    _git(checkout, "push", "--force", "lab")
    assert _main(remote) == _git(checkout, "rev-parse", "HEAD").stdout.strip()
    assert first in _git(remote.repository, "reflog", "show", "--format=%H", "main").stdout


def test_somebodys_own_remote_is_not_touched(checkout: Path, kubectl: Callable[..., Path], tmp_path: Path) -> None:
    _git(checkout, "remote", "add", "lab", "https://git.corp.local/lab.git")
    before = (checkout / ".git" / "config").read_text()
    other = Remote(Lab(checkout, checkout / ".lab", tmp_path / "cache"))
    with pytest.raises(LabError, match=r"https://git\.corp\.local/lab\.git.*git remote remove lab"):
        other.make(kubectl())
    other.forget()
    assert (checkout / ".git" / "config").read_text() == before


def test_what_was_added_to_the_checkout_is_removed_again(checkout: Path, remote: Remote) -> None:
    remote.publish(lambda _: None)
    remote.forget()
    assert _git(checkout, "remote").stdout == ""


def test_a_lab_elsewhere_leaves_the_checkout_alone(
    checkout: Path, kubectl: Callable[..., Path], tmp_path: Path
) -> None:
    before = (checkout / ".git" / "config").read_text()
    other = Remote(Lab(checkout, tmp_path / "other", tmp_path / "cache"))
    other.make(kubectl())
    other.publish(lambda _: None)
    assert (checkout / ".git" / "config").read_text() == before
    commit = _commit(checkout, "Shift")
    subprocess.run(other.push_command(), shell=True, cwd=checkout, check=True, capture_output=True)
    assert _main(other) == commit


def test_a_remote_that_was_half_added_is_completed(
    remote: Remote, checkout: Path, kubectl: Callable[..., Path]
) -> None:
    _git(checkout, "config", "--unset", "remote.lab.push")
    remote.make(kubectl())
    assert _git(checkout, "config", "remote.lab.push").stdout == "HEAD:refs/heads/main\n"


def test_a_repository_that_was_half_made_is_completed(remote: Remote, kubectl: Callable[..., Path]) -> None:
    remote.publish(lambda _: None)
    before = _main(remote)
    (remote.repository / "config").unlink()
    remote.make(kubectl())
    assert _git(remote.repository, "config", "receive.shallowUpdate").stdout == "true\n"
    assert _main(remote) == before


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="it is not a Git repository"):
        head(tmp_path)


def test_a_folder_inside_another_repository_is_refused(checkout: Path) -> None:
    with pytest.raises(LabError, match="the repository around it"):
        head(checkout / "deploy")


def test_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    _git(tmp_path, "init", "--quiet", "empty")
    with pytest.raises(LabError, match="no commit yet"):
        head(tmp_path / "empty")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_checkout_of_another_user_is_published(checkout: Path, remote: Remote) -> None:
    for path in [checkout, *checkout.rglob("*")]:
        if remote.lab.directory not in (path, *path.parents):
            os.chown(path, 65534, 65534)
    published = remote.publish(lambda _: None)
    assert _main(remote) == published.id


def test_a_shallow_checkout_is_published(checkout: Path, kubectl: Callable[..., Path], tmp_path: Path) -> None:
    newest = _commit(checkout, "Second")
    _git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{checkout}", "shallow")
    shallow = Remote(Lab(tmp_path / "shallow", tmp_path / "shallow" / ".lab", tmp_path / "cache"))
    shallow.make(kubectl())
    shallow.publish(lambda _: None)
    # as Argo CD reads it: a fetch of all branches into a repository of its own, then the commit
    reader = tmp_path / "reader"
    _git(tmp_path, "init", "--quiet", "reader")
    _git(reader, "fetch", f"file://{shallow.repository}", "refs/heads/*:refs/remotes/origin/*", "--force", "--prune")
    _git(reader, "checkout", "--quiet", "--force", newest)
    assert (reader / "deploy" / "vs.yaml").read_text() == "weight: 90\n"


def test_hooks_of_the_persons_own_do_not_run(remote: Remote, checkout: Path) -> None:
    hook = checkout / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    remote.publish(lambda _: None)
    assert _main(remote)


def test_variables_of_a_surrounding_git_do_not_mislead(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert remote.publish(lambda _: None).subject == "Begin"


def test_a_push_asks_argocd_of_each_region_to_look(remote: Remote, checkout: Path, tmp_path: Path) -> None:
    said = _git(checkout, "push", "lab").stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert sorted(line.split()[1] for line in asked) == ["--context=region-a", "--context=region-b"]
    assert all(line.startswith(f"--kubeconfig={remote.lab.kubeconfig} ") for line in asked)
    assert all("annotate applications.argoproj.io --all" in line for line in asked)
    assert all("argocd.argoproj.io/refresh=normal" in line for line in asked)
    short = _main(remote)[:7]
    assert f"remote: region-a: asked to sync {short}" in said
    assert f"remote: region-b: asked to sync {short}" in said


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("echo 'connection refused' >&2; exit 1", r"region-a: cannot be asked to sync \w+: connection refused"),
        ("echo 'error: No resources found' >&2; exit 1", "region-a: has no Application yet"),
        ('echo "error: the server does not have the resource type" >&2; exit 1', "region-a: has no Application yet"),
    ],
)
def test_a_region_that_cannot_be_asked_is_a_line_and_no_failure(
    remote: Remote, checkout: Path, kubectl: Callable[..., Path], answer: str, line: str
) -> None:
    kubectl(answer)
    pushed = _git(checkout, "push", "lab")
    assert re.search(line, pushed.stderr)
    assert "region-b: asked to sync" in pushed.stderr
    assert _main(remote)


@pytest.mark.usefixtures("remote")
def test_another_branch_is_nobodys_concern(checkout: Path, tmp_path: Path) -> None:
    _git(checkout, "push", "lab", "HEAD:refs/heads/other")
    assert not (tmp_path / "asked").exists()


@pytest.mark.usefixtures("remote")
def test_a_hooks_folder_of_the_persons_own_does_not_replace_ours(checkout: Path, home: Path) -> None:
    with (home / ".gitconfig").open("a") as settings:
        settings.write(f"[core]\n\thooksPath = {home}\n")
    assert "region-a: asked to sync" in _git(checkout, "push", "lab").stderr
