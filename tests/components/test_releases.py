"""The provider previews against a cluster that does not answer, and takes a failed release for a good one after a refresh.

So the program asks the cluster for Helm's records before it registers anything.
"""

import base64
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.existing.cluster import ClusterError, Connection, provider_kubeconfig
from components.existing.releases import HelmRevision, failed_revisions, read_revisions
from components.istio import BASE, ISTIOD, merged
from stackfile.model import ClusterConfig
from tests.components.api_server import ApiServer, api_server
from tests.components.graph import STACK_FILES, Graph, World, attempt, record_stack, run_main, stack_config

REGION_A = ClusterConfig(context="region-a")
CHARTS = (BASE, ISTIOD)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """The API server of region-a."""
    with api_server() as served:
        monkeypatch.setenv("KUBECONFIG", str(served.kubeconfig(tmp_path / "kubeconfig", "region-a")))
        yield served


def refusal(preview: bool) -> tuple[Graph, str]:
    graph, error = attempt(run_main, stack_config(STACK_FILES[0]), world=World(preview=preview))
    assert isinstance(error, pulumi.RunError)
    return graph, str(error)


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_a_cluster_that_does_not_answer_fails_with_one_message_before_anything_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preview: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = ApiServer(f"https://127.0.0.1:{closed.getsockname()[1]}")
    monkeypatch.setenv("KUBECONFIG", str(dead.kubeconfig(tmp_path / "kubeconfig", "region-a")))
    graph, message = refusal(preview)
    assert message == (
        f'cluster.context "region-a": {dead.address} does not answer ([Errno 111] Connection refused), so a preview would show '
        "what nobody has compared with the cluster. Make the cluster reachable, or correct cluster.context or cluster.kubeconfig "
        "in the stack file."
    )
    assert sorted(node.kind for node in graph) == ["Stack"]


@pytest.mark.parametrize(("code", "said"), [(401, "401 Unauthorized"), (503, "503 Service Unavailable")])
def test_a_cluster_that_answers_with_an_error_is_told_with_its_words(server: ApiServer, code: int, said: str) -> None:
    server.code = code
    with pytest.raises(
        ClusterError, match=rf"answers {said}, .* kubectl --context region-a get --raw '/api/.*/secrets"
    ):
        read_revisions(Connection(REGION_A), CHARTS)


def test_a_user_who_may_not_read_secrets_may_preview(server: ApiServer) -> None:
    server.code = 403
    assert read_revisions(Connection(REGION_A), CHARTS) == []


def test_a_login_that_failed_is_not_taken_for_a_user_without_rights(server: ApiServer) -> None:
    server.code, server.message = 403, 'secrets is forbidden: User "system:anonymous" cannot list resource "secrets"'
    with pytest.raises(ClusterError, match=r"answers 403 Forbidden"):
        read_revisions(Connection(REGION_A), CHARTS)


def test_an_empty_file_of_the_list_counts_as_none(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").touch()
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'empty'}:{tmp_path / 'absent'}:{tmp_path / 'kubeconfig'}")
    server.revisions = [("istiod", 1, "deployed")]
    assert read_revisions(Connection(REGION_A), CHARTS) == [HelmRevision("istiod", 1, "deployed", "istio-system")]


def test_an_answer_that_is_none_of_an_api_server_is_told(server: ApiServer) -> None:
    server.message = "<html>log in</html>"
    with pytest.raises(ClusterError, match="does not answer"):
        read_revisions(Connection(REGION_A), CHARTS)


def test_the_records_are_read_without_the_charts_that_they_hold(server: ApiServer) -> None:
    server.revisions = [("istiod", 2, "deployed")]
    assert read_revisions(Connection(REGION_A), CHARTS) == [HelmRevision("istiod", 2, "deployed", "istio-system")]
    assert server.accepted == ["application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"]


@pytest.mark.parametrize(
    ("status", "undo"),
    [
        ("pending-install", "uninstall istiod"),
        ("pending-upgrade", "rollback istiod 1"),
        ("pending-rollback", "rollback istiod 1"),
    ],
)
def test_an_update_does_not_begin_beside_a_pending_operation_and_names_the_command_that_frees_it(
    server: ApiServer, status: str, undo: str
) -> None:
    before = [] if status == "pending-install" else [("istiod", 1, "deployed")]
    server.revisions = [("istiod", 2, status), *before]
    graph, message = refusal(preview=False)
    assert f'Helm release "istiod" in istio-system is {status} (revision 2)' in message
    assert message.endswith(f"helm {undo} --kube-context region-a --namespace istio-system --wait")
    assert sorted(node.kind for node in graph) == ["Stack"]


def test_what_was_pending_before_a_rollback_is_no_hindrance_after_it(server: ApiServer) -> None:
    server.revisions = [("istiod", 1, "superseded"), ("istiod", 2, "pending-upgrade"), ("istiod", 3, "deployed")]
    assert record_stack(STACK_FILES[0]).outputs["region"] == "region-a"


def test_a_release_of_somebody_else_is_no_hindrance(server: ApiServer) -> None:
    server.revisions = [("kiali", 2, "pending-upgrade")]
    assert read_revisions(Connection(REGION_A), CHARTS) == []


def test_the_gateways_release_is_looked_for_in_its_own_namespace(server: ApiServer) -> None:
    server.revisions = [("istio-ingress", 3, "pending-install")]  # of somebody who has a gateway beside istiod
    server.ingress = [("istio-ingress", 1, "deployed"), ("istio-ingress", 2, "pending-upgrade")]
    _, message = refusal(preview=False)
    assert 'Helm release "istio-ingress" in istio-ingress is pending-upgrade (revision 2)' in message
    assert message.endswith("helm rollback istio-ingress 1 --kube-context region-a --namespace istio-ingress --wait")


def test_the_commands_name_the_stacks_own_kubeconfig(server: ApiServer, tmp_path: Path) -> None:
    server.revisions = [("istiod", 1, "pending-install")]
    own = server.kubeconfig(tmp_path / "my kubeconfig", "region-a")
    cluster = {"context": "region-a", "kubeconfig": str(own)}
    _, error = attempt(run_main, stack_config(STACK_FILES[0], cluster=cluster))
    assert f"helm uninstall istiod --kubeconfig '{own}' --kube-context region-a" in str(error)


def test_a_preview_beside_a_pending_operation_goes_on_with_a_warning(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.revisions = [("istiod", 1, "failed"), ("istiod", 2, "pending-upgrade")]
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    record_stack(STACK_FILES[0], World(preview=True))
    assert ["helm rollback istiod" in each for each in warnings] == [True]


def descriptions(server: ApiServer, *revisions: tuple[str, int, str]) -> dict[str, Any]:
    server.revisions = list(revisions)
    graph = record_stack(STACK_FILES[0])
    releases = ("istio-base", "istio-istiod")
    return {name: graph.the("Release", name).inputs.get("description") for name in releases}


def test_a_gateway_that_failed_is_tried_again_by_the_next_update(server: ApiServer) -> None:
    server.ingress = [("istio-ingress", 3, "failed")]
    release = record_stack(STACK_FILES[0]).the("Release", "gateway")
    assert release.inputs["description"] == "after revision 3, which failed"


def test_a_release_that_failed_is_a_change_so_that_the_next_update_tries_again(server: ApiServer) -> None:
    found = descriptions(server, ("istiod", 1, "superseded"), ("istiod", 2, "failed"), ("istio-base", 1, "deployed"))
    assert found == {"istio-base": None, "istio-istiod": "after revision 2, which failed"}


def test_a_release_that_was_tried_again_is_no_change_any_more(server: ApiServer) -> None:
    failing = descriptions(server, ("istiod", 2, "failed"))
    mended = descriptions(server, ("istiod", 2, "failed"), ("istiod", 3, "deployed"))
    assert failing == mended


def test_the_latest_failure_counts_whatever_the_order_of_the_records(server: ApiServer) -> None:
    server.revisions = [("istiod", number, "failed") for number in (10, 9, 11)]
    assert failed_revisions(read_revisions(Connection(REGION_A), CHARTS)) == {"istiod": 11}


# --- a kubeconfig that names its certificates by relative paths


def certificates(tmp_path: Path) -> ClusterConfig:
    """A kubeconfig in a folder of its own, which is not the working directory."""
    folder = tmp_path / "clusters"
    folder.mkdir()
    user = {"client-certificate": "me.crt", "client-key": "/absolute/me.key"}
    document = {
        "clusters": [
            {"name": "c", "cluster": {"server": "https://a", "certificate-authority": "ca.crt"}},
            {"name": "other", "cluster": {"server": "https://b"}},
        ],
        "users": [{"name": "u", "user": user}, {"name": "other", "user": {"token": "not for the state"}}],
        "contexts": [{"name": "region-a", "context": {"cluster": "c", "user": "u"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(document))
    return ClusterConfig(context="region-a", kubeconfig=str(folder / "kubeconfig"))


def test_relative_certificates_are_looked_for_beside_their_kubeconfig(tmp_path: Path) -> None:
    given: list[str] = []
    secret: list[bool] = []

    async def run() -> None:
        output = pulumi.Output.from_input(provider_kubeconfig(certificates(tmp_path)))
        given.append(await output.future() or "")
        secret.append(await output.is_secret())

    attempt(run)
    document = yaml.safe_load(given[0])
    assert document["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "clusters" / "ca.crt")
    assert document["users"][0]["user"] == {
        "client-certificate": str(tmp_path / "clusters" / "me.crt"),
        "client-key": "/absolute/me.key",
    }
    assert [len(document[kind]) for kind in ("contexts", "clusters", "users")] == [1, 1, 1]
    assert secret == [True]


def test_a_kubeconfig_that_holds_its_certificates_stays_a_path(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    data = base64.b64encode(b"certificate").decode()
    document = {"clusters": [{"name": "c", "cluster": {"server": "https://a", "certificate-authority-data": data}}]}
    file.write_text(yaml.safe_dump(document))
    assert provider_kubeconfig(ClusterConfig(context="region-a", kubeconfig=str(file))) == str(file)


def test_without_a_kubeconfig_of_its_own_the_provider_looks_where_kubectl_does() -> None:
    assert provider_kubeconfig(REGION_A) == ""


# --- values

trees = st.recursive(
    st.integers() | st.text(max_size=2) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


def flat(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """The leaves of a tree by their paths; an empty object is a leaf."""
    return {
        leaf: value
        for key, branch in tree.items()
        for leaf, value in (
            flat(branch, (*path, key)) if isinstance(branch, dict) and branch else {(*path, key): branch}
        ).items()
    }


@given(objects, objects)
def test_what_is_merged_over_is_all_there_and_of_what_is_under_all_that_is_not_covered(
    under: dict[str, Any], over: dict[str, Any]
) -> None:
    both, upper, lower = flat(merged(under, over)), flat(over), flat(under)

    def covered(path: tuple[str, ...]) -> bool:
        return any(path[: len(other)] == other or other[: len(path)] == path for other in upper)

    assert {path: value for path, value in upper.items() if value != {}}.items() <= both.items()
    assert {path: value for path, value in lower.items() if not covered(path)}.items() <= both.items()


@given(objects, objects)
def test_a_merge_leaves_both_sides_as_they_were(under: dict[str, Any], over: dict[str, Any]) -> None:
    before = repr((under, over))
    merged(under, over)
    assert repr((under, over)) == before
