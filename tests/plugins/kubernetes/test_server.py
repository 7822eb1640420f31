"""The provider at the level of its protocol: a real gRPC server of it, against a small API server."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import plugin_pb2, provider_pb2

from lab.plugins.kubernetes import values
from lab.plugins.kubernetes.decisions import AUTONAMED
from lab.plugins.kubernetes.server import NOTICE, VERSION
from lab.plugins.kubernetes.values import UNKNOWN, Secret
from tests.plugins.kubernetes.engine import CONFIG_MAP, Engine
from tests.plugins.kubernetes.fake_cluster import FakeCluster
from tests.plugins.kubernetes.samples import config_map, details

NAMING = provider_pb2.CheckRequest.AutonamingOptions
SOME, NONE = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE


# Configure


def test_the_provider_says_which_version_it_stands_in_for(engine: Engine) -> None:
    assert engine.provider.GetPluginInfo(plugin_pb2.PluginInfo()).version == VERSION


def test_it_says_once_that_the_stand_in_is_in_use(engine: Engine) -> None:
    engine.create(CONFIG_MAP, config_map())

    assert engine.messages == [NOTICE]


def test_it_accepts_secrets_and_previews(engine: Engine, cluster: FakeCluster) -> None:
    answer = engine.configure(kubeconfig=cluster.kubeconfig)

    assert answer.acceptSecrets
    assert answer.supportsPreview


def test_a_missing_context_is_an_error_at_once(engine: Engine, cluster: FakeCluster) -> None:
    with pytest.raises(grpc.RpcError) as error:
        engine.configure(kubeconfig=cluster.kubeconfig, context="nowhere")

    assert "there is no context 'nowhere' (there are: fake)" in details(error)


@pytest.mark.parametrize("setting", [{"renderYamlToDirectory": "out"}, {"enableServerSideApply": "false"}])
def test_settings_that_it_does_not_know_are_refused_by_name(engine: Engine, setting: dict[str, str]) -> None:
    with pytest.raises(grpc.RpcError) as error:
        engine.configure(**setting)

    assert next(iter(setting)) in details(error)


def test_settings_that_change_nothing_are_accepted(engine: Engine) -> None:
    assert engine.configure(enableServerSideApply="true", deleteUnreachable="false", suppressHelmHookWarnings="true")


@pytest.mark.parametrize(
    ("changed", "replaces"),
    [({"context": "other"}, ["context"]), ({"context": "same"}, []), ({"namespace": "n"}, [])],
)
def test_only_another_cluster_replaces_the_provider(
    engine: Engine, changed: dict[str, str], replaces: list[str]
) -> None:
    clusters = [{"name": name, "cluster": {"server": f"https://{name}"}} for name in "ab"]
    contexts = {"one": "a", "same": "a", "other": "b"}
    entries = [{"name": name, "context": {"cluster": cluster}} for name, cluster in contexts.items()]
    old = {"kubeconfig": str({"clusters": clusters, "contexts": entries}), "context": "one"}

    answer = engine.provider.DiffConfig(
        provider_pb2.DiffRequest(olds=values.encode(old), news=values.encode({**old, **changed}))
    )

    assert list(answer.replaces) == replaces
    assert list(answer.diffs) == sorted(changed)


# Check


def test_check_names_a_nameless_object_and_gives_it_a_namespace(engine: Engine) -> None:
    inputs = engine.check(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap"}, randomSeed=b"seed")

    name = inputs["metadata"]["name"]
    assert name.startswith("r-")
    assert len(name) == len("r-") + 8
    assert inputs["metadata"]["annotations"] == {AUTONAMED: "true"}
    assert inputs["metadata"]["namespace"] == "default"


def test_check_keeps_the_name_that_was_generated(engine: Engine) -> None:
    first = engine.check(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap"}, randomSeed=b"1")

    again = engine.check(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap"}, first, randomSeed=b"2")

    assert again == first


def test_check_takes_the_name_that_the_engine_proposes(engine: Engine) -> None:
    options = NAMING(proposed_name="proposed", mode=NAMING.ENFORCE)

    inputs = engine.check(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap"}, autonaming=options)

    assert inputs["metadata"]["name"] == "proposed"


def test_check_refuses_to_name_where_naming_is_disabled(engine: Engine) -> None:
    options = NAMING(mode=NAMING.DISABLE)

    assert (
        "autonaming is disabled"
        in engine.check(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap"}, autonaming=options)[0]
    )
    assert engine.check(CONFIG_MAP, config_map(), autonaming=options)["metadata"]["name"] == "c"


def test_check_keeps_secrets_and_unknowns(engine: Engine) -> None:
    inputs = engine.check(CONFIG_MAP, config_map(data={"a": Secret("x"), "b": UNKNOWN}))

    assert inputs["data"] == {"a": Secret("x"), "b": UNKNOWN}


def test_a_cluster_wide_kind_gets_no_namespace(engine: Engine) -> None:
    inputs = engine.check(
        "kubernetes:core/v1:Namespace", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    )

    assert inputs["metadata"] == {"name": "n"}


@pytest.mark.parametrize(
    ("token", "more", "told"),
    [
        ("kubernetes:core/v1:ConfigMapPatch", {}, "knows no Patch resources"),
        (
            "kubernetes:core/v1:ConfigMapList",
            {"kind": "ConfigMapList", "items": []},
            "a list is no resource of its own",
        ),
        (CONFIG_MAP, {"metadata": {"generateName": "c-"}}, "metadata.generateName"),
        (
            CONFIG_MAP,
            {"metadata": {"name": "c", "annotations": {"pulumi.com/replaceUnready": "true"}}},
            "replaceUnready",
        ),
        (CONFIG_MAP, {"metadata": {"name": "c", "annotations": {"pulumi.com/timeoutSeconds": "x"}}}, "timeoutSeconds"),
        (CONFIG_MAP, {"metadata": {"name": "c", "annotations": {"pulumi.com/waitFor": "x"}}}, "waitFor"),
        (
            "kubernetes:core/v1:PersistentVolumeClaim",
            {"kind": "PersistentVolumeClaim"},
            "cannot tell when this kind is ready",
        ),
    ],
)
def test_what_it_does_not_do_it_refuses_by_name(engine: Engine, token: str, more: dict[str, Any], told: str) -> None:
    assert told in engine.check(token, config_map(**more))[0]


# Diff


def test_no_change_is_no_difference_whatever_the_cluster_filled_in(engine: Engine, cluster: FakeCluster) -> None:
    cluster.on_read = lambda obj: obj["data"].update(filled="in")
    _, state = engine.create(CONFIG_MAP, config_map())

    assert engine.diff(CONFIG_MAP, state, config_map()).changes == NONE


def test_a_change_shows_with_its_path(engine: Engine) -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "namespace": "n"},
        "spec": {"ports": [{"port": 80}]},
    }
    _, state = engine.create("kubernetes:core/v1:Service", obj)

    answer = engine.diff("kubernetes:core/v1:Service", state, {**obj, "spec": {"ports": [{"port": 81}]}})

    assert (answer.changes, dict(answer.detailedDiff)) == (
        SOME,
        {"spec.ports[0].port": provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.UPDATE)},
    )
    assert not answer.replaces


def test_a_change_of_what_is_fixed_replaces_and_makes_room_first(engine: Engine) -> None:
    _, state = engine.create(CONFIG_MAP, config_map())

    answer = engine.diff(CONFIG_MAP, state, config_map(data={"a": "2"}))

    assert list(answer.replaces) == ["data.a"]
    assert answer.detailedDiff["data.a"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE
    assert answer.deleteBeforeReplace


def test_the_settings_may_make_config_maps_mutable(engine: Engine, cluster: FakeCluster) -> None:
    engine.configure(kubeconfig=cluster.kubeconfig, enableConfigMapMutable="true")
    _, state = engine.create(CONFIG_MAP, config_map())

    assert not engine.diff(CONFIG_MAP, state, config_map(data={"a": "2"})).replaces


def test_a_namespace_that_is_left_out_is_the_default_one(engine: Engine) -> None:
    _, state = engine.create(CONFIG_MAP, config_map(metadata={"name": "c", "namespace": "default"}))

    assert engine.diff(CONFIG_MAP, state, config_map(metadata={"name": "c"})).changes == NONE


# Invoke and what is not there


def test_yaml_is_decoded_for_config_files(engine: Engine) -> None:
    text = "kind: A\napiVersion: v1\nn: 1\n---\n# nothing\n---\nx: 1\n---\nkind: B\napiVersion: v1\n"

    answer = engine.provider.Invoke(
        provider_pb2.InvokeRequest(tok="kubernetes:yaml:decode", args=values.encode({"text": text}))
    )

    assert values.decode(getattr(answer, "return")) == {
        "result": [{"kind": "A", "apiVersion": "v1", "n": 1}, {"kind": "B", "apiVersion": "v1"}]
    }


def test_unknown_functions_components_and_methods_are_refused_by_name(engine: Engine) -> None:
    calls = [
        (engine.provider.Invoke, provider_pb2.InvokeRequest(tok="kubernetes:helm:template")),
        (engine.provider.Construct, provider_pb2.ConstructRequest(type="kubernetes:helm.sh/v4:Chart")),
        (engine.provider.Call, provider_pb2.CallRequest(tok="kubernetes:x:y")),
    ]
    for method, request in calls:
        with pytest.raises(grpc.RpcError) as error:
            method(request)
        name = getattr(request, "tok", "") or getattr(request, "type", "")
        assert f"does not do the {name}" in details(error).replace("function ", "").replace("component ", "").replace(
            "method ", ""
        )
