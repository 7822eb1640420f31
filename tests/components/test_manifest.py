"""Argo CD's manifest is a file of others: what is wanted of it is found out before a region is touched, not in the middle of an update."""

import threading
from collections.abc import Iterator, Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.argocd import ManifestError, read_manifest
from stackfile.model import ArgoCdConfig, ArgoCdImages
from tests.components.graph import MANIFEST

ARGOCD, REDIS, DEX = (
    "quay.io/argoproj/argocd:v3.5.7",
    "public.ecr.aws/docker/library/redis:8.2.3-alpine",
    "ghcr.io/dexidp/dex:v2.45.1",
)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server on this machine that has the manifest as /install.yaml and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/install.yaml"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(MANIFEST.read_bytes() if found else b"not found")

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def the_problem(argocd: ArgoCdConfig) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(argocd)
    return str(caught.value)


# --- reading it


def test_a_manifest_is_read_from_a_file_and_nothing_of_it_is_lost() -> None:
    read = read_manifest(ArgoCdConfig(manifest=str(MANIFEST)))
    whole = list(yaml.safe_load_all(MANIFEST.read_text()))
    assert [names(each) for each in read] == [names(each) for each in whole]
    definitions = [each for each in read if each["kind"] == "CustomResourceDefinition"]
    assert definitions == [each for each in whole if each["kind"] == "CustomResourceDefinition"]


def names(manifest: Mapping[str, Any]) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def test_application_sets_are_left_out_whole_and_nothing_else_is(tmp_path: Path) -> None:
    others = list(yaml.safe_load_all(MANIFEST.read_text()))
    metadata = {"name": "argocd-applicationset-controller"}
    theirs: list[dict[str, Any]] = [
        {"kind": "CustomResourceDefinition", "metadata": {"name": "applicationsets.argoproj.io"}},
        {"kind": "ServiceAccount", "metadata": metadata},
        {"kind": "RoleBinding", "metadata": metadata, "roleRef": {"kind": "Role", **metadata}},
        {"kind": "NetworkPolicy", "metadata": {"name": "argocd-applicationset-controller-network-policy"}},
    ]
    mentions = {"kind": "NetworkPolicy", "metadata": {"name": "argocd-repo-server"}, "spec": {"from": metadata}}
    file = tmp_path / "install.yaml"
    file.write_text(yaml.safe_dump_all([*theirs, mentions, *others]))
    left = read_manifest(ArgoCdConfig(manifest=str(file), application_sets=False))
    assert [names(each) for each in left] == [names(each) for each in (mentions, *others)]


def test_a_relative_path_starts_at_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MANIFEST.parent)
    assert read_manifest(ArgoCdConfig(manifest=MANIFEST.name)) == read_manifest(ArgoCdConfig(manifest=str(MANIFEST)))


def test_a_manifest_is_fetched_from_its_address(address: str) -> None:
    fetched = read_manifest(ArgoCdConfig(manifest=f"{address}/install.yaml"))
    assert fetched == read_manifest(ArgoCdConfig(manifest=str(MANIFEST)))


def test_an_address_that_answers_with_an_error_is_told(address: str) -> None:
    problem = the_problem(ArgoCdConfig(manifest=f"{address}/core-install.yaml"))
    assert problem == (
        f'argocd.manifest "{address}/core-install.yaml" cannot be read (HTTP Error 404: Not Found) — Argo CD is installed from '
        "it; correct argocd.manifest in the stack file, or name a copy of the file there"
    )


def test_an_address_that_nobody_answers_at_is_told() -> None:
    # port 0 is never listened on
    assert 'argocd.manifest "http://127.0.0.1:0/install.yaml" cannot be read (' in the_problem(
        ArgoCdConfig(manifest="http://127.0.0.1:0/install.yaml")
    )


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "install.yaml"
    assert f'argocd.manifest "{file}" cannot be read ([Errno 2] ' in the_problem(ArgoCdConfig(manifest=str(file)))


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "install.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    assert f'argocd.manifest "{file}" cannot be read (' in the_problem(ArgoCdConfig(manifest=str(file)))


@pytest.mark.parametrize("text", ["", "kind: AppProject\nmetadata:\n  name: applications\n"])
def test_a_file_that_does_not_install_the_applications_kind_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "install.yaml"
    file.write_text(text)
    problem = the_problem(ArgoCdConfig(manifest=str(file)))
    assert "does not define applications.argoproj.io — this region's Application could not be made; give " in problem


@pytest.mark.parametrize(
    "text", ["<html>log in</html>", "kind: CustomResourceDefinition\na: [", "kind: CustomResourceDefinition\n"]
)
def test_a_definition_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "install.yaml"
    file.write_text(text)
    problem = the_problem(ArgoCdConfig(manifest=str(file)))
    assert f'argocd.manifest "{file}" is no manifest — Argo CD is installed from it; give core-install.yaml' in problem


@pytest.mark.parametrize("kind", ["argocd", "redis"])
def test_an_image_that_replaces_none_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "install.yaml"
    file.write_text(MANIFEST.read_text().replace(ARGOCD, "quay.io/other:1").replace(REDIS, "valkey:8"))
    images = ArgoCdImages.model_validate({kind: f"localhost/{kind}:1"})
    assert the_problem(ArgoCdConfig(manifest=str(file), images=images)) == (
        f'argocd.images.{kind} "localhost/{kind}:1" stands for no image of {file} — it would have no effect; leave it out, or '
        f"correct argocd.manifest (its images: {DEX}, quay.io/other:1, valkey:8)"
    )


# --- adapting it


def objects(**settings: Any) -> dict[tuple[str, str], Any]:
    """The small manifest's objects as they are registered, by kind and name, but for its definitions."""
    found = read_manifest(ArgoCdConfig(manifest=str(MANIFEST), **settings))
    return {names(each): each for each in found if each["kind"] != "CustomResourceDefinition"}


def containers(found: Mapping[tuple[str, str], Any], field: str) -> dict[str, str]:
    return {
        container["name"]: container.get(field)
        for (kind, _), each in found.items()
        if kind in ("Deployment", "StatefulSet")
        for containers in ("containers", "initContainers")
        for container in each["spec"]["template"]["spec"].get(containers, [])
    }


@pytest.mark.parametrize(
    ("images", "argocd", "redis"),
    [
        ({}, ARGOCD, REDIS),
        ({"argocd": "localhost/argocd:v3.5.7"}, "localhost/argocd:v3.5.7", REDIS),
        ({"redis": "localhost/redis:lab"}, ARGOCD, "localhost/redis:lab"),
    ],
    ids=["none", "argocd", "redis"],
)
def test_an_image_takes_the_place_of_its_own_kind_alone(images: dict[str, str], argocd: str, redis: str) -> None:
    assert containers(objects(images=ArgoCdImages.model_validate(images)), "image") == {
        "redis": redis,
        "secret-init": argocd,
        "dex": DEX,
        "copyutil": argocd,
        "argocd-application-controller": argocd,
    }


def test_a_pull_policy_holds_for_every_container() -> None:
    policies = containers(objects(image_pull_policy="Never"), "imagePullPolicy")
    assert len(policies) == 5
    assert set(policies.values()) == {"Never"}


def test_without_a_pull_policy_the_manifests_hold() -> None:
    assert containers(objects(), "imagePullPolicy")["secret-init"] == "IfNotPresent"


def test_what_is_in_a_namespace_goes_to_argo_cds() -> None:
    spaces = {key: each["metadata"].get("namespace") for key, each in objects().items()}
    assert {kind for (kind, _), space in spaces.items() if space is None} == {"ClusterRoleBinding"}
    assert set(spaces.values()) == {None, "argocd"}


@pytest.mark.parametrize("kind", ["RoleBinding", "ClusterRoleBinding"])
def test_a_binding_is_for_the_service_account_of_argo_cds_namespace(kind: str) -> None:
    binding = objects()[kind, "argocd-application-controller"]
    assert [subject["namespace"] for subject in binding["subjects"]] == ["argocd"]


def test_a_service_is_not_awaited_for_its_pods_are(tmp_path: Path) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "argocd-redis", "annotations": {"a": "b"}}}
    file = tmp_path / "install.yaml"
    file.write_text(MANIFEST.read_text() + "\n---\n" + yaml.safe_dump(service))
    read = {names(each): each["metadata"] for each in read_manifest(ArgoCdConfig(manifest=str(file)))}
    assert read["Service", "argocd-redis"]["annotations"] == {"a": "b", "pulumi.com/skipAwait": "true"}
    assert "annotations" not in read["Deployment", "argocd-redis"]


# --- its hash


HASH = sha256(MANIFEST.read_bytes()).hexdigest()


def test_a_manifest_with_the_hash_that_is_named_is_read(address: str) -> None:
    whole = read_manifest(ArgoCdConfig(manifest=str(MANIFEST)))

    for source in (str(MANIFEST), f"{address}/install.yaml"):
        assert read_manifest(ArgoCdConfig(manifest=f"{source}#sha256={HASH}")) == whole


def test_a_manifest_with_another_hash_is_refused_with_the_one_it_has(address: str) -> None:
    problem = the_problem(ArgoCdConfig(manifest=f"{address}/install.yaml#sha256={'0' * 64}"))

    assert problem == (
        f'argocd.manifest "{address}/install.yaml" is not the file that the stack file names: its hash is {HASH}, not {"0" * 64}. '
        "Look at what has changed, and write its hash into argocd.manifest."
    )
