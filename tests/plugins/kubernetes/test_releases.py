"""Helm releases at the level of the protocol, with a Helm that only writes down what it was asked."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from lab.plugins.kubernetes import values
from lab.plugins.kubernetes.values import UNKNOWN, Secret
from tests.plugins.kubernetes.engine import RELEASE, Engine, init_failure
from tests.plugins.kubernetes.fake_cluster import FakeCluster

HELM = """#!/bin/sh
cd '{folder}' || exit 9
echo "$*" >> calls
case "$1" in
  show) cat Chart.yaml ;;
  install|upgrade)
    cat > values
    cat "$KUBECONFIG" > kubeconfig
    [ -f hang ] && {{ touch hanging; exec sleep 60; }}
    count=$(($(cat revision 2> /dev/null) + 1))
    [ -f refuse ] && {{ echo "Error: cannot parse" >&2; exit 1; }}
    echo $count > revision
    [ -f fail ] && {{ echo "Error: context deadline exceeded" >&2; exit 1; }}
    true ;;
  uninstall) rm -f revision ;;
  *)
    [ -f revision ] || {{ echo "Error: release: not found" >&2; exit 1; }}
    if [ -f fail ]; then status=failed; else status=deployed; fi
    sed -e "s/STATUS/$status/" -e "s/0,/$(cat revision),/" release ;;
esac
"""
TOLD = {"name": "istiod", "namespace": "n", "chart": "istiod", "version": "1.0.0", "appVersion": "1.31"}
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}"
INPUTS: dict[str, Any] = {
    "name": "istiod",
    "namespace": "n",
    "chart": "charts/istiod",
    "timeout": 300,
    "values": {"a": 1},
    "version": "1.0.0",
}


@pytest.fixture
def helm(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The folder that the pretended Helm works in."""
    executable = tmp_path / "helm"
    executable.write_text(HELM.format(folder=tmp_path))
    executable.chmod(0o700)
    release = {**TOLD, "revision": 0, "status": "STATUS", "manifest": MANIFEST, "config": {"a": 1}}
    (tmp_path / "release").write_text(json.dumps(release))
    (tmp_path / "Chart.yaml").write_text("name: istiod\nversion: 1.0.0\n")
    monkeypatch.setenv("LAB_HELM", str(executable))
    return tmp_path


def calls(helm: pathlib.Path, command: str) -> list[str]:
    return [line for line in (helm / "calls").read_text().splitlines() if line.startswith(command)]


def test_check_gives_name_namespace_timeout_and_the_charts_version(engine: Engine, helm: pathlib.Path) -> None:
    inputs = engine.check(RELEASE, {"chart": "charts/istiod", "skipCrds": False})

    assert inputs.pop("name").startswith("r-")
    assert inputs == {"chart": "charts/istiod", "namespace": "default", "timeout": 300, "version": "1.0.0"}
    assert calls(helm, "show") == ["show chart charts/istiod"]


def test_the_version_of_a_chart_in_a_folder_is_read_without_helm(engine: Engine, helm: pathlib.Path) -> None:
    (helm / "local").mkdir()
    (helm / "local" / "Chart.yaml").write_text("name: istiod\nversion: 2.0.0\n")

    assert engine.check(RELEASE, {"chart": str(helm / "local")})["version"] == "2.0.0"
    assert not (helm / "calls").exists()


def test_check_keeps_the_old_name(engine: Engine, helm: pathlib.Path) -> None:
    assert helm.exists()

    assert engine.check(RELEASE, {"chart": "c"}, {"chart": "c", "name": "r-0ld"})["name"] == "r-0ld"


def test_check_asks_no_chart_for_its_version_while_inputs_are_unknown(engine: Engine, helm: pathlib.Path) -> None:
    inputs = engine.check(RELEASE, {"chart": "c", "values": {"a": UNKNOWN, "b": Secret("x")}})

    assert inputs["values"] == {"a": UNKNOWN, "b": Secret("x")}
    assert "version" not in inputs
    assert not (helm / "calls").exists()


@pytest.mark.parametrize(
    "refused", [{"postrender": "sed"}, {"valueYamlFiles": ["x"]}, {"repositoryOpts": {"password": "x"}}]
)
def test_check_refuses_inputs_by_name(engine: Engine, helm: pathlib.Path, refused: dict[str, Any]) -> None:
    assert helm.exists()
    name = "password" if "repositoryOpts" in refused else next(iter(refused))

    assert f"does not do {name}" in engine.check(RELEASE, {"chart": "c", **refused})[0]


def test_a_chart_that_is_not_there_fails_the_check(engine: Engine, helm: pathlib.Path) -> None:
    (helm / "Chart.yaml").unlink()

    assert "Chart.yaml" in engine.check(RELEASE, {"chart": "c"})[0]


def test_a_preview_runs_no_helm(engine: Engine, helm: pathlib.Path) -> None:
    identity, state = engine.create(RELEASE, INPUTS, preview=True)

    assert (identity, state["resourceNames"], state["status"]) == ("", UNKNOWN, UNKNOWN)
    assert not (helm / "calls").exists()


def test_create_installs_with_values_and_kubeconfig_and_keeps_what_helm_tells(
    engine: Engine, helm: pathlib.Path, cluster: FakeCluster
) -> None:
    identity, state = engine.create(RELEASE, INPUTS)

    assert calls(helm, "install") == [
        "install istiod charts/istiod --namespace n --version=1.0.0 --values=- --timeout=300s --wait --kube-context fake"
    ]
    assert json.loads((helm / "values").read_text()) == {"a": 1}
    server = json.loads(cluster.kubeconfig)["clusters"][0]["cluster"]["server"]
    assert json.loads((helm / "kubeconfig").read_text())["clusters"][0]["cluster"]["server"] == server
    assert identity == "n/istiod"
    assert state["resourceNames"] == {"ConfigMap/v1": ["c"]}
    assert state["status"] == {**TOLD, "revision": 1, "status": "deployed"}
    assert state["__inputs"] == Secret(INPUTS)


def test_a_release_that_fails_is_a_partial_failure(engine: Engine, helm: pathlib.Path) -> None:
    (helm / "fail").touch()

    with pytest.raises(grpc.RpcError) as error:
        engine.create(RELEASE, INPUTS)

    failure = init_failure(error.value)
    assert failure.identity == "n/istiod"
    assert failure.state["status"]["status"] == "failed"
    assert "context deadline exceeded" in failure.reasons


def test_what_helm_refuses_outright_is_an_error_without_state(engine: Engine, helm: pathlib.Path) -> None:
    (helm / "refuse").touch()

    with pytest.raises(grpc.RpcError) as error:
        engine.create(RELEASE, INPUTS)

    assert error.value.details() == "install of release n/istiod: cannot parse"
    assert not error.value.trailing_metadata()


def test_the_next_update_repairs_a_failed_release_by_an_upgrade(
    engine: Engine, helm: pathlib.Path, cluster: FakeCluster
) -> None:
    (helm / "fail").touch()
    with pytest.raises(grpc.RpcError) as error:
        engine.create(RELEASE, INPUTS)
    (helm / "fail").unlink()

    state = engine.update(RELEASE, init_failure(error.value).state, INPUTS)

    assert state["status"]["revision"] == 2
    assert len(calls(helm, "upgrade")) == 1
    (forgetting,) = cluster.sent("DELETE")
    assert (
        forgetting.query["labelSelector"]
        == "owner=helm,name=istiod,status in (pending-install,pending-upgrade,pending-rollback)"
    )


def test_a_failed_upgrade_that_recorded_nothing_is_a_plain_error(engine: Engine, helm: pathlib.Path) -> None:
    _, state = engine.create(RELEASE, INPUTS)
    (helm / "refuse").touch()

    with pytest.raises(grpc.RpcError) as error:
        engine.update(RELEASE, state, INPUTS)

    assert not error.value.trailing_metadata()


def test_cancel_stops_helm(engine: Engine, helm: pathlib.Path) -> None:
    (helm / "hang").touch()
    future = engine.provider.Create.future(
        provider_pb2.CreateRequest(urn=f"urn:pulumi:dev::project::{RELEASE}::r", properties=values.encode(INPUTS))
    )
    engine.stopped.set()

    with pytest.raises(grpc.RpcError) as error:
        future.result(timeout=10)

    assert error.value.details() == "install of release n/istiod: helm install ended with code -15"


def test_only_name_and_namespace_replace_a_release(engine: Engine, helm: pathlib.Path) -> None:
    assert helm.exists()
    _, state = engine.create(RELEASE, INPUTS)

    changed = engine.diff(RELEASE, state, {**INPUTS, "values": {"a": 2}, "version": "1.0.1"})
    renamed = engine.diff(RELEASE, state, {**INPUTS, "name": "other"})
    same = engine.diff(RELEASE, state, INPUTS)

    assert (sorted(changed.detailedDiff), list(changed.replaces)) == (["values.a", "version"], [])
    assert list(renamed.replaces) == ["name"]
    assert same.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_a_refresh_keeps_inputs_and_tells_the_status(engine: Engine, helm: pathlib.Path) -> None:
    _, state = engine.create(RELEASE, INPUTS)
    (helm / "revision").write_text("7")

    now, inputs = engine.read(RELEASE, "n/istiod", state, INPUTS)

    assert now["status"]["revision"] == 7
    assert inputs == INPUTS


def test_a_refresh_shows_values_that_somebody_else_set(engine: Engine, helm: pathlib.Path) -> None:
    _, state = engine.create(RELEASE, INPUTS)
    (helm / "release").write_text((helm / "release").read_text().replace('"a": 1', '"a": 2'))

    now, inputs = engine.read(RELEASE, "n/istiod", state, INPUTS)

    assert inputs["values"] == Secret({"a": 2})
    assert list(engine.diff(RELEASE, now, INPUTS).detailedDiff) == ["values.a"]


def test_a_refresh_tells_that_a_release_is_not_well(engine: Engine, helm: pathlib.Path) -> None:
    _, state = engine.create(RELEASE, INPUTS)
    (helm / "fail").touch()

    with pytest.raises(grpc.RpcError) as error:
        engine.read(RELEASE, "n/istiod", state, INPUTS)

    assert init_failure(error.value).reasons == ["Helm release n/istiod is failed"]


def test_a_refresh_tells_that_a_release_is_gone(engine: Engine, helm: pathlib.Path) -> None:
    assert helm.exists()

    assert engine.read(RELEASE, "n/istiod", {}, INPUTS) is None


def test_an_import_takes_chart_version_and_values_from_helm(engine: Engine, helm: pathlib.Path) -> None:
    (helm / "revision").write_text("1")

    _, inputs = engine.read(RELEASE, "n/istiod")

    assert inputs == {**INPUTS, "chart": "istiod", "values": Secret({"a": 1})}


def test_delete_uninstalls_and_waits(engine: Engine, helm: pathlib.Path) -> None:
    identity, state = engine.create(RELEASE, INPUTS)

    engine.delete(RELEASE, identity, state)

    assert calls(helm, "uninstall") == [
        "uninstall istiod --namespace n --ignore-not-found --timeout=300s --wait --kube-context fake"
    ]


def test_create_leaves_a_release_that_is_there_alone(engine: Engine, helm: pathlib.Path) -> None:
    (helm / "revision").write_text("1")
    (helm / "refuse").touch()

    with pytest.raises(grpc.RpcError) as error:
        engine.create(RELEASE, INPUTS)

    assert "PULUMI_K8S_UPSERT_EXISTING_OBJECTS" in error.value.details()


def test_create_upgrades_what_is_there_where_the_settings_say_so(
    engine: Engine, helm: pathlib.Path, cluster: FakeCluster
) -> None:
    engine.configure(kubeconfig=cluster.kubeconfig, upsertExistingObjects="true")
    (helm / "revision").write_text("1")

    _, state = engine.create(RELEASE, INPUTS)

    assert state["status"]["revision"] == 2
    assert not calls(helm, "install")
