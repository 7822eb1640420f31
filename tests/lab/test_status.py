"""The row of Argo CD in `lab status`: well only if the newest commit runs, and else what is wrong, and where."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lab import status
from lab.delivery.application import Delivered
from lab.delivery.remote import Remote
from lab.place import Lab


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    def git(*arguments: str) -> None:
        person = ["-c", "user.name=A Person", "-c", "user.email=person@corp.local"]
        subprocess.run(["git", *person, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet")
    for subject in ("Begin", "Shift to 75/25"):
        git("commit", "--quiet", "--allow-empty", "--message", subject)
    made = Remote(Lab(tmp_path, tmp_path / ".lab", tmp_path / "cache"))
    made.make(Path("/bin/false"))
    git("push", "--quiet", "lab")
    return made


@pytest.fixture
def delivered(remote: Remote) -> Delivered:
    newest = remote.head()
    assert newest is not None
    return Delivered("echo", "Synced", "Healthy", newest.id, "echo")


def test_a_region_at_the_newest_commit_is_well(remote: Remote, delivered: Delivered) -> None:
    finding = status.argocd("region-a", delivered, remote)
    assert finding.well
    assert finding.detail == f"Synced, Healthy at {delivered.revision[:7]} (Shift to 75/25)"


def test_a_region_behind_is_not(remote: Remote, delivered: Delivered) -> None:
    before = remote.commit(f"{delivered.revision}~1")
    assert before is not None
    finding = status.argocd("region-a", replace(delivered, revision=before.id), remote)
    assert not finding.well
    assert "(Begin), not at " in finding.detail
    assert finding.detail.endswith("(Shift to 75/25)")


def test_a_region_that_does_not_look_is_not_well(remote: Remote, delivered: Delivered) -> None:
    finding = status.argocd("region-a", replace(delivered, looks=True), remote)
    assert not finding.well
    assert finding.detail.splitlines()[1:] == ["was asked to look, and has not yet"]


def test_each_trouble_is_a_line(remote: Remote, delivered: Delivered) -> None:
    wrong = replace(
        delivered, sync="OutOfSync", failed=("the sync failed: x", "  VirtualService/echo: total weight 110")
    )
    finding = status.argocd("region-a", wrong, remote)
    assert not finding.well
    assert finding.detail.splitlines()[1:] == ["the sync failed: x", "  VirtualService/echo: total weight 110"]


def test_a_sync_under_way_says_what_it_waits_for(remote: Remote, delivered: Delivered) -> None:
    under_way = replace(delivered, health="Progressing", step="waiting for healthy state of apps/Deployment/echo-v1")
    finding = status.argocd("region-a", under_way, remote)
    assert finding.detail.splitlines()[1:] == ["waiting for healthy state of apps/Deployment/echo-v1"]


def test_a_remote_that_somebody_removed_does_not_hide_what_argocd_says(remote: Remote, delivered: Delivered) -> None:
    shutil.rmtree(remote.repository)
    assert status.argocd("region-a", delivered, remote).detail == f"Synced, Healthy at {delivered.revision}"
