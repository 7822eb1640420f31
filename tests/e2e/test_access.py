"""The verbs work with the rights of their accounts, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.access import PROMOTER, READER
from components.probe import NAMESPACE
from tests.e2e.laboratory import Laboratory, write_settings
from tests.e2e.promoting import promote, rollout

pytestmark = pytest.mark.drill

REGION = "region-a"


@pytest.fixture(scope="module")
def accounts(lab: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The accounts, in one region."""
    settings = lab.settings(REGION)
    settings["config"]["echo-rollout:access"] = {}
    file = write_settings(tmp_path_factory.mktemp("access") / f"Pulumi.{REGION}.yaml", settings)
    lab.pulumi("up", "--stack", REGION, "--yes", "--skip-preview", file)
    yield
    lab.pulumi("up", "--stack", REGION, "--yes", "--skip-preview")
    kinds = "clusterrole,clusterrolebinding,role,rolebinding,serviceaccount"
    left = lab.kubectl(REGION, "get", kinds, "--all-namespaces", "--output=name")
    assert [name for name in left.splitlines() if READER in name or PROMOTER in name] == []


def _as(lab: Laboratory, account: str, directory: Path) -> Path:
    """The regions file by which `rollout` has an account's token and no other right in the region."""
    document: dict[str, Any] = yaml.safe_load(lab.place.kubeconfig.read_text())
    token = lab.kubectl(REGION, "create", "token", account, f"--namespace={NAMESPACE}").strip()
    document["contexts"] = [each for each in document["contexts"] if each["name"] == REGION]
    document["contexts"][0]["context"]["user"] = account
    document["users"] = [{"name": account, "user": {"token": token}}]
    kubeconfig = directory / f"{account}.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(document))
    regions = yaml.safe_load(lab.regions_file.read_text())
    regions["regions"] = {REGION: {"context": REGION, "kubeconfig": str(kubeconfig)}}
    file = directory / f"{account}.yaml"
    file.write_text(yaml.safe_dump(regions))
    return file


@pytest.fixture
def reader(lab: Laboratory, accounts: None, tmp_path: Path) -> Path:
    return _as(lab, READER, tmp_path)


@pytest.fixture
def promoter(lab: Laboratory, accounts: None, tmp_path: Path) -> Path:
    return _as(lab, PROMOTER, tmp_path)


def test_the_reader_sees_the_status(lab: Laboratory, reader: Path) -> None:
    seen = rollout(lab, "status", "--json", "--regions-file", str(reader))

    assert seen.returncode == 0, seen.stdout + seen.stderr
    (found,) = json.loads(seen.stdout)["regions"]
    assert found["problems"] == []
    assert found["application"]["sync"] == "Synced"
    assert found["envoys"]
    assert [envoy["pod"] for envoy in found["envoys"] if envoy["error"]] == []


def test_the_reader_verifies(lab: Laboratory, reader: Path) -> None:
    verified = lab.verify("--regions-file", str(reader))

    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_reader_promotes_nothing(lab: Laboratory, reader: Path) -> None:
    before = lab.git("rev-parse", "HEAD")

    ended = promote(lab, "v2", "--steps=20", "--bake=0s", "--regions", REGION, "--regions-file", str(reader))

    assert ended.code == 2, str(ended)
    assert any("refused to refresh Application argocd/echo: 403 Forbidden" in line for line in ended.said), str(ended)
    assert lab.git("rev-parse", "HEAD") == before


def test_the_promoter_promotes_and_takes_back(lab: Laboratory, promoter: Path) -> None:
    to = ("--regions-file", str(promoter))
    with lab.restored():
        done = promote(lab, "v2", "--steps=20", "--keep=0", "--bake=0s", "--regions", REGION, *to)
        assert done.code == 0, str(done)
        back = rollout(lab, "rollback", *to)
        assert back.returncode == 0, back.stdout + back.stderr


@pytest.mark.parametrize("account", [READER, PROMOTER])
@pytest.mark.parametrize(
    "attempt",
    [
        ["delete", "pod", "--namespace=echo", "--selector=version=v2", "--dry-run=server"],
        ["label", "virtualservice/echo", "--namespace=echo", "x=y", "--dry-run=server"],
        ["scale", "deployment/echo-v1", "--namespace=echo", "--replicas=0", "--dry-run=server"],
        ["delete", "application/echo", "--namespace=argocd", "--dry-run=server"],
        ["get", "secrets", "--namespace=argocd"],
        ["exec", "--namespace=argocd", "deployment/argocd-repo-server", "--", "true"],
    ],
    ids=" ".join,
)
def test_nobody_writes_to_what_runs_or_reads_a_secret(
    lab: Laboratory, accounts: None, account: str, attempt: list[str]
) -> None:
    somebody = f"--as=system:serviceaccount:{NAMESPACE}:{account}"

    refused = lab.run("kubectl", "--context", REGION, somebody, *attempt, check=False)

    assert refused.returncode != 0, refused.stdout
    assert "Forbidden" in refused.stderr, refused.stderr
