"""The life of an object at the level of the protocol: a real gRPC server of the provider, against a small API server."""

from __future__ import annotations

import base64
import threading
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import plugin_pb2, provider_pb2

from lab.plugins.kubernetes.values import UNKNOWN, Secret
from tests.plugins.kubernetes.engine import CONFIG_MAP, Engine, init_failure
from tests.plugins.kubernetes.fake_cluster import FakeCluster
from tests.plugins.kubernetes.samples import config_map, deployment, details

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
PATH = "/api/v1/namespaces/n/configmaps/c"
SOME = provider_pb2.DiffResponse.DIFF_SOME


# Create


def test_create_posts_the_object_and_keeps_inputs_and_origin_in_the_state(engine: Engine, cluster: FakeCluster) -> None:
    identity, state = engine.create(CONFIG_MAP, config_map())

    (post,) = cluster.sent("POST")
    assert (post.path, post.query, post.body) == (
        "/api/v1/namespaces/n/configmaps",
        {"fieldManager": "pulumi-kubernetes"},
        config_map(),
    )
    assert identity == "n/c"
    assert state["metadata"]["uid"]
    assert state["__inputs"] == config_map()
    assert state["__initialApiVersion"] == "v1"
    assert state["__fieldManager"].startswith("pulumi-kubernetes-")


def test_create_leaves_what_is_there_alone(engine: Engine, cluster: FakeCluster) -> None:
    cluster.objects[PATH] = config_map(data={"theirs": "1"})

    with pytest.raises(grpc.RpcError) as error:
        engine.create(CONFIG_MAP, config_map())

    assert 'create ConfigMap n/c: "c" already exists. Somebody else made it' in details(error)
    assert cluster.objects[PATH]["data"] == {"theirs": "1"}


def test_create_takes_over_what_is_there_where_the_settings_say_so(engine: Engine, cluster: FakeCluster) -> None:
    engine.configure(kubeconfig=cluster.kubeconfig, upsertExistingObjects="true")
    cluster.objects[PATH] = config_map(data={"a": "0"})

    engine.create(CONFIG_MAP, config_map())

    assert cluster.objects[PATH]["data"] == {"a": "1"}


def test_a_preview_is_a_dry_run(engine: Engine, cluster: FakeCluster) -> None:
    identity, state = engine.create(CONFIG_MAP, config_map(), preview=True)

    assert identity == ""
    assert cluster.sent("POST")[0].query["dryRun"] == "All"
    assert not cluster.objects
    assert state["__inputs"] == config_map()
    assert "status" not in state


def test_a_preview_of_what_is_not_known_yet_asks_nobody(engine: Engine, cluster: FakeCluster) -> None:
    inputs = config_map(data={"a": UNKNOWN})

    assert engine.create(CONFIG_MAP, inputs, preview=True) == ("", inputs)
    assert not cluster.sent("POST")


def test_a_preview_of_a_kind_that_is_not_there_yet_shows_the_inputs(engine: Engine) -> None:
    thing = {"apiVersion": "corp.local/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "n"}}

    assert engine.create("kubernetes:corp.local/v1:Thing", thing, preview=True) == ("", thing)


def test_a_preview_shows_what_the_api_server_refuses(engine: Engine, cluster: FakeCluster) -> None:
    cluster.answers["POST", "/api/v1/namespaces/n/configmaps"] = (422, {"reason": "Invalid", "message": "data: is bad"})

    with pytest.raises(grpc.RpcError) as error:
        engine.create(CONFIG_MAP, config_map(), preview=True)

    assert "create ConfigMap n/c: data: is bad" in details(error)


@pytest.mark.parametrize(
    "answer",
    [
        (403, {"reason": "Forbidden", "message": "no"}),
        (404, {"reason": "NotFound", "message": "no namespace", "details": {"kind": "namespaces"}}),
        (409, {"reason": "AlreadyExists", "message": "there"}),
        (400, {"reason": "BadRequest", "message": "webhook does not support dry run"}),
    ],
)
def test_a_preview_that_cannot_be_tried_shows_the_inputs(engine: Engine, cluster: FakeCluster, answer: Any) -> None:
    cluster.answers["POST", "/api/v1/namespaces/n/configmaps"] = answer

    assert engine.create(CONFIG_MAP, config_map(), preview=True) == ("", config_map())


def test_create_tries_again_while_the_kind_is_on_its_way(engine: Engine, cluster: FakeCluster) -> None:
    thing = {"apiVersion": "corp.local/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "n"}}
    answer = cluster.answer

    def served_when_asked_twice(request: Any) -> Any:
        if [seen.path for seen in cluster.requests].count("/apis/corp.local/v1") == 1:
            cluster.kinds["/apis/corp.local/v1"] = {"Thing": ("things", True)}
        return answer(request)

    cluster.answer = served_when_asked_twice  # type: ignore[method-assign]

    assert engine.create("kubernetes:corp.local/v1:Thing", thing)[0] == "n/t"


def test_create_gives_up_on_a_kind_that_does_not_come(engine: Engine) -> None:
    thing = {"apiVersion": "corp.local/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "n"}}

    with pytest.raises(grpc.RpcError) as error:
        engine.create("kubernetes:corp.local/v1:Thing", thing)

    assert "serves no Thing in corp.local/v1" in details(error)


def test_whole_numbers_are_sent_as_such(engine: Engine, cluster: FakeCluster) -> None:
    engine.create(
        DEPLOYMENT,
        {
            **deployment(replicas=3.0),
            "metadata": {**deployment()["metadata"], "annotations": {"pulumi.com/skipAwait": "true"}},
        },
    )

    assert repr(cluster.sent("POST")[0].body["spec"]["replicas"]) == "3"


def test_schema_extensions_are_sent_dashed_and_kept_underscored(engine: Engine, cluster: FakeCluster) -> None:
    _, state = engine.create(CONFIG_MAP, config_map(x={"x_kubernetes_list_type": "map"}))

    assert cluster.objects[PATH]["x"] == {"x-kubernetes-list-type": "map"}
    assert state["x"] == {"x_kubernetes_list_type": "map"}


# Waiting


def make_ready(obj: dict[str, Any]) -> None:
    wanted = obj["spec"].get("replicas", 1)
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), wanted)
    obj["status"] = {"observedGeneration": obj["metadata"]["generation"], **counts}


def test_create_waits_until_a_deployment_is_rolled_out(engine: Engine, cluster: FakeCluster) -> None:
    seen: list[int] = []

    def ready_at_the_third_look(obj: dict[str, Any]) -> None:
        seen.append(1)
        if len(seen) == 3:
            make_ready(obj)

    cluster.on_read = ready_at_the_third_look

    _, state = engine.create(DEPLOYMENT, deployment(replicas=2))

    assert state["status"]["availableReplicas"] == 2
    assert engine.passing == ["its controller has not seen this change yet"]


def test_what_does_not_become_ready_in_time_is_a_partial_failure_with_its_pods_reasons(
    engine: Engine, cluster: FakeCluster
) -> None:
    waiting = {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    cluster.objects["/api/v1/namespaces/n/pods/p"] = {
        "metadata": {"name": "p"},
        "status": {"containerStatuses": [waiting]},
    }
    cluster.on_read = lambda obj: obj.update(status={"observedGeneration": 1})

    with pytest.raises(grpc.RpcError) as error:
        engine.create(DEPLOYMENT, deployment(replicas=1), timeout=0.05)

    failure = init_failure(error.value)
    assert failure.identity == "n/d"
    assert failure.state["__inputs"] == deployment(replicas=1)
    assert "Deployment n/d is in the cluster, but it was not ready after 0.05 s" in failure.reasons[0]
    assert failure.reasons[-1] == "pod p: ImagePullBackOff: no such image"


def test_cancel_ends_a_wait_with_a_partial_failure(engine: Engine, cluster: FakeCluster) -> None:
    cluster.on_read = lambda _: engine.stopped.set()

    with pytest.raises(grpc.RpcError) as error:
        engine.create(DEPLOYMENT, deployment(replicas=1))

    assert "it was not ready when the operation was cancelled" in init_failure(error.value).reasons[0]


def test_the_engine_may_cancel(engine: Engine) -> None:
    engine.provider.Cancel(plugin_pb2.PluginInfo())

    assert engine.stopped.is_set()


def test_many_waits_do_not_keep_other_calls_from_being_answered(engine: Engine, cluster: FakeCluster) -> None:
    looking, free = threading.Barrier(4, timeout=10), threading.Event()

    def wait_for_each_other(obj: dict[str, Any]) -> None:
        if not free.is_set():
            looking.wait()
            free.set()
        make_ready(obj)

    cluster.on_read = wait_for_each_other
    names = [{**deployment(), "metadata": {"name": f"d{n}", "namespace": "n"}} for n in range(4)]
    threads = [threading.Thread(target=engine.create, args=(DEPLOYMENT, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert free.is_set()


# Update


def test_update_takes_the_fields_over_and_applies(engine: Engine, cluster: FakeCluster) -> None:
    _, state = engine.create(CONFIG_MAP, config_map())

    changed = engine.update(CONFIG_MAP, state, config_map(data={"a": "2"}))

    taking, applying = cluster.sent("PATCH")
    assert taking.content_type == "application/json-patch+json"
    assert taking.body[0]["value"][0]["manager"] == state["__fieldManager"]
    assert applying.content_type == "application/apply-patch+yaml"
    assert applying.query == {"fieldManager": state["__fieldManager"], "force": "false"}
    assert changed["data"] == {"a": "2"}
    assert changed["__fieldManager"] == state["__fieldManager"]


def test_an_update_is_previewed_by_a_dry_run(engine: Engine, cluster: FakeCluster) -> None:
    _, state = engine.create(CONFIG_MAP, config_map())

    previewed = engine.update(CONFIG_MAP, state, config_map(data={"a": "2"}), preview=True)

    (applying,) = cluster.sent("PATCH")
    assert applying.query["dryRun"] == "All"
    assert previewed["data"] == {"a": "2"}
    assert cluster.objects[PATH]["data"] == {"a": "1"}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((409, {"reason": "Conflict", "message": "conflict with kubectl"}), "pulumi.com/patchForce"),
        ((422, {"reason": "Invalid", "message": "spec.x: field is immutable"}), "replaceOnChanges"),
    ],
)
def test_an_update_that_is_refused_says_what_to_do(
    engine: Engine, cluster: FakeCluster, answer: Any, told: str
) -> None:
    _, state = engine.create(CONFIG_MAP, config_map())
    state["metadata"]["managedFields"] = cluster.objects[PATH]["metadata"]["managedFields"] = []
    cluster.answers["PATCH", PATH] = answer

    with pytest.raises(grpc.RpcError) as error:
        engine.update(CONFIG_MAP, state, config_map(data={"a": "2"}))

    assert told in details(error)


def test_an_update_of_what_was_deleted_says_to_refresh(engine: Engine, cluster: FakeCluster) -> None:
    _, state = engine.create(CONFIG_MAP, config_map())
    del cluster.objects[PATH]

    with pytest.raises(grpc.RpcError) as error:
        engine.update(CONFIG_MAP, state, config_map(data={"a": "2"}))

    assert "Run `pulumi refresh`" in details(error)


def test_the_annotation_forces_an_apply(engine: Engine, cluster: FakeCluster) -> None:
    forcing = config_map(metadata={"name": "c", "namespace": "n", "annotations": {"pulumi.com/patchForce": "true"}})
    _, state = engine.create(CONFIG_MAP, forcing)

    engine.update(CONFIG_MAP, state, forcing)

    assert cluster.sent("PATCH")[-1].query["force"] == "true"


def test_an_ignored_field_is_left_as_it_is_live(engine: Engine, cluster: FakeCluster) -> None:
    _, state = engine.create(CONFIG_MAP, config_map())
    cluster.objects[PATH]["data"]["a"] = "live"

    engine.update(CONFIG_MAP, state, config_map(), ignore=("data.a",))

    assert cluster.sent("PATCH")[-1].body["data"] == {"a": "live"}


# Read


def test_a_refresh_shows_drift_in_state_and_inputs(engine: Engine, cluster: FakeCluster) -> None:
    _, state = engine.create(CONFIG_MAP, config_map())
    cluster.objects[PATH]["data"] = {"a": "drifted", "more": "1"}

    now, inputs = engine.read(CONFIG_MAP, "n/c", state, config_map())

    assert now["data"] == {"a": "drifted", "more": "1"}
    assert inputs == config_map(data={"a": "drifted"})
    assert engine.diff(CONFIG_MAP, now, config_map()).changes == SOME


def test_a_refresh_tells_that_an_object_is_gone(engine: Engine) -> None:
    assert engine.read(CONFIG_MAP, "n/c", {"__inputs": config_map()}, config_map()) is None


def test_a_refresh_tells_that_a_kind_is_gone(engine: Engine) -> None:
    thing = {"apiVersion": "corp.local/v1", "kind": "Thing", "metadata": {"name": "t"}}

    assert engine.read("kubernetes:corp.local/v1:Thing", "n/t", {"__inputs": thing}, thing) is None


def test_a_refresh_of_what_is_not_ready_is_a_partial_failure(engine: Engine, cluster: FakeCluster) -> None:
    cluster.on_read = make_ready
    _, state = engine.create(DEPLOYMENT, deployment(replicas=2))
    cluster.on_read = lambda obj: obj["status"].update(availableReplicas=1)

    with pytest.raises(grpc.RpcError) as error:
        engine.read(DEPLOYMENT, "n/d", state, deployment(replicas=2))

    failure = init_failure(error.value)
    assert failure.reasons[0] == "Deployment n/d is there, and is not ready"
    assert failure.inputs == deployment(replicas=2)


def test_an_import_takes_its_inputs_from_the_live_object(engine: Engine, cluster: FakeCluster) -> None:
    metadata = {"name": "c", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    cluster.objects[PATH] = config_map(metadata=metadata, status={"x": 1})

    _, inputs = engine.read(CONFIG_MAP, "n/c")

    assert inputs == config_map()


# Delete


def test_delete_is_in_the_foreground_and_waits_until_the_object_is_gone(engine: Engine, cluster: FakeCluster) -> None:
    identity, state = engine.create(CONFIG_MAP, config_map())
    cluster.keeps_deleted = True
    looks: list[int] = []

    def gone_at_the_third_look(_: Any) -> None:
        looks.append(1)
        if len(looks) == 3:
            del cluster.objects[PATH]

    cluster.on_read = gone_at_the_third_look

    engine.delete(CONFIG_MAP, identity, state)

    assert cluster.sent("DELETE")[0].body == {"propagationPolicy": "Foreground"}
    assert len(looks) == 3


def test_what_is_gone_already_is_deleted(engine: Engine, cluster: FakeCluster) -> None:
    identity, state = engine.create(CONFIG_MAP, config_map())
    del cluster.objects[PATH]

    engine.delete(CONFIG_MAP, identity, state)


def test_an_object_of_the_same_name_that_came_after_is_not_waited_for(engine: Engine, cluster: FakeCluster) -> None:
    identity, state = engine.create(CONFIG_MAP, config_map())
    cluster.keeps_deleted = True
    cluster.objects[PATH]["metadata"]["uid"] = "another"

    engine.delete(CONFIG_MAP, identity, state)


def test_a_deletion_that_does_not_end_names_what_blocks_it(engine: Engine, cluster: FakeCluster) -> None:
    identity, state = engine.create(CONFIG_MAP, config_map())
    cluster.keeps_deleted = True
    cluster.objects[PATH]["metadata"]["finalizers"] = ["corp.local/never"]

    with pytest.raises(grpc.RpcError) as error:
        engine.delete(CONFIG_MAP, identity, state, timeout=0.05)

    assert "it was not gone after 0.05 s\n  - finalizer corp.local/never" in details(error)


# Secrets


def test_what_a_secret_holds_is_secret_in_inputs_and_state(engine: Engine, cluster: FakeCluster) -> None:
    token = "kubernetes:core/v1:Secret"
    obj = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "n"},
        "stringData": {"pw": "hunter2"},
    }
    held = {"pw": base64.b64encode(b"hunter2").decode()}

    inputs = engine.check(token, obj)
    _, state = engine.create(token, inputs)

    assert inputs["data"] == Secret(held)
    assert cluster.sent("POST")[0].body["data"] == held
    assert state["data"] == state["__inputs"]["data"] == Secret(held)


def test_secret_inputs_stay_secret_in_the_state(engine: Engine) -> None:
    _, state = engine.create(CONFIG_MAP, config_map(data={"a": Secret("x"), "b": "y"}))

    assert state["data"] == {"a": Secret("x"), "b": "y"}
