from __future__ import annotations

from typing import Any

import pytest

from lab.plugins.kubernetes import decisions
from lab.plugins.kubernetes.decisions import AUTONAMED, Change
from lab.plugins.kubernetes.values import UNKNOWN


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}, "spec": spec}


def paths(changes: list[Change]) -> dict[str, str]:
    return {decisions.format_path(change.path): change.kind for change in changes}


def replaced(old: dict[str, Any], new: dict[str, Any], **more: Any) -> list[str]:
    return [decisions.format_path(path) for path in decisions.difference(old, new, (), **more).replaces]


def test_a_nameless_object_gets_the_proposed_name_and_says_so() -> None:
    named = decisions.named({"kind": "X"}, {}, "x-12345678")

    assert named["metadata"] == {"name": "x-12345678", "annotations": {AUTONAMED: "true"}}


def test_a_given_name_is_kept() -> None:
    inputs = {"metadata": {"name": "mine"}}

    assert decisions.named(inputs, {}, "x-12345678") == inputs


def test_a_name_that_is_not_known_yet_is_not_generated() -> None:
    inputs = {"metadata": {"name": UNKNOWN}}

    assert decisions.named(inputs, {}, "x-12345678") == inputs


def test_a_generated_name_is_adopted() -> None:
    old = {"metadata": {"name": "x-aaaaaaaa", "annotations": {AUTONAMED: "true"}}}

    assert decisions.named({}, old, "x-bbbbbbbb")["metadata"]["name"] == "x-aaaaaaaa"


def test_a_given_name_that_was_removed_is_not_adopted() -> None:
    assert decisions.named({}, {"metadata": {"name": "mine"}}, "x-bbbbbbbb")["metadata"]["name"] == "x-bbbbbbbb"


def test_unique_names_repeat_for_the_same_seed_only() -> None:
    assert decisions.unique_name("x", b"1") == decisions.unique_name("x", b"1")
    assert decisions.unique_name("x") != decisions.unique_name("x")


def test_string_data_becomes_data_as_the_api_server_would_have_it() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "stringData": {"pw": "x"}, "data": {"b": "Yg=="}}

    assert decisions.normalised(secret)["data"] == {"b": "Yg==", "pw": "eA=="}
    assert "stringData" not in decisions.normalised(secret)


def test_string_data_that_is_not_known_yet_stays() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "stringData": {"pw": UNKNOWN}}

    assert decisions.normalised(secret)["stringData"] == {"pw": UNKNOWN}


def test_read_only_metadata_is_no_input() -> None:
    assert decisions.normalised({"metadata": {"name": "a", "uid": "u", "managedFields": []}})["metadata"] == {
        "name": "a"
    }


def test_schema_extensions_are_underscored_for_pulumi_and_dashed_for_kubernetes() -> None:
    dashed = {"spec": [{"x-kubernetes-list-type": "map", "my-key": 1}]}

    assert decisions.underscored(dashed) == {"spec": [{"x_kubernetes_list_type": "map", "my-key": 1}]}
    assert decisions.dashed(decisions.underscored(dashed)) == dashed


def test_what_the_cluster_filled_in_is_pruned() -> None:
    live = {"spec": {"replicas": 1, "strategy": {}, "ports": [{"port": 1, "nodePort": 3}, {"port": 2}]}}

    assert decisions.pruned(live, {"spec": {"replicas": 2, "ports": [{"port": 1}]}}) == {
        "spec": {"replicas": 1, "ports": [{"port": 1}]}
    }


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, {}),
        ({"a": 1}, {"a": True}, {"a": "UPDATE"}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {"a.c": "ADD"}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a.c": "DELETE"}),
        ({"a": [1, 2]}, {"a": [1]}, {"a[1]": "DELETE"}),
        ({"a": [1]}, {"a": [1, 3]}, {"a[1]": "ADD"}),
        ({"a": {"x.y": 1}}, {"a": {"x.y": 2}}, {'a["x.y"]': "UPDATE"}),
        ({"a": 1}, {"a": UNKNOWN}, {"a": "UPDATE"}),
        ({}, {"a": None, "b": []}, {}),
        ({"metadata": {}}, {"metadata": {"labels": {}}}, {}),
        ({"spec": {}}, {"spec": {"mtls": {}}}, {"spec.mtls": "ADD"}),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "1000m"}}, {}),
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1024Mi"}}, {}),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "1001m"}}, {"limits.cpu": "UPDATE"}),
        ({"args": {"cpu": "1"}}, {"args": {"cpu": "1000m"}}, {"args.cpu": "UPDATE"}),
    ],
)
def test_changes_are_as_deep_as_they_go(old: Any, new: Any, expected: dict[str, str]) -> None:
    assert paths(list(decisions.changes(old, new))) == expected


def test_a_changed_template_is_an_update() -> None:
    assert replaced(deployment(replicas=1), deployment(replicas=2)) == []


def test_a_changed_selector_replaces() -> None:
    old, new = (deployment(selector={"matchLabels": {"app": app}}) for app in ("a", "b"))

    assert replaced(old, new) == ["spec.selector.matchLabels.app"]


def test_a_change_above_a_fixed_field_replaces_if_it_sets_that_field() -> None:
    old = {**deployment(), "spec": None}

    assert replaced({k: v for k, v in old.items() if k != "spec"}, deployment(selector={})) == ["spec"]
    assert replaced({k: v for k, v in old.items() if k != "spec"}, deployment(replicas=1)) == []


@pytest.mark.parametrize(("field", "replaces"), [("tolerations", False), ("nodeName", True)])
def test_most_of_a_pods_spec_is_fixed(field: str, *, replaces: bool) -> None:
    old, new = ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {field: v}} for v in ("a", "b"))

    assert bool(replaced(old, new)) is replaces


def test_data_of_a_config_map_is_fixed_unless_the_settings_say_otherwise() -> None:
    old, new = ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": v}} for v in "12")

    assert replaced(old, new) == ["data.a"]
    assert replaced(old, new, mutable_kinds=["ConfigMap"]) == []
    assert replaced(old, {**new, "immutable": True}, mutable_kinds=["ConfigMap"]) == ["data.a"]


@pytest.mark.parametrize("key", ["name", "namespace"])
def test_another_name_or_namespace_replaces_without_making_room_first(key: str) -> None:
    new = deployment()
    new["metadata"] = {**new["metadata"], key: "other"}

    found = decisions.difference(deployment(), new, ())

    assert found.replaces == [("metadata", key)]
    assert not found.delete_before_replace


def test_a_given_name_makes_room_for_the_replacement_first() -> None:
    old, new = deployment(selector=1), deployment(selector=2)

    assert decisions.difference(old, new, ()).delete_before_replace


def test_a_generated_name_needs_no_room() -> None:
    old, new = deployment(selector=1), deployment(selector=2)
    new["metadata"] = {**new["metadata"], "annotations": {AUTONAMED: "true"}}

    assert not decisions.difference(old, new, ()).delete_before_replace


@pytest.mark.parametrize("ignore", ["spec", "spec.replicas", "spec.ports[*].port"])
def test_ignored_changes_are_no_changes(ignore: str) -> None:
    old, new = deployment(replicas=1, ports=[{"port": 1}]), deployment(replicas=2, ports=[{"port": 2}])
    left = {"spec": 0, "spec.replicas": 1, "spec.ports[*].port": 1}[ignore]

    assert len(decisions.difference(old, new, [ignore]).changes) == left


@pytest.mark.parametrize("text", ["a", "a.b", "a[0].b", 'a["x.y/z"][1]', "a[0][1]"])
def test_property_paths_read_as_they_are_written(text: str) -> None:
    assert decisions.format_path(decisions.parse_path(text)) == text


def test_ignored_fields_are_sent_as_they_are_live() -> None:
    wanted = decisions.with_live_values(
        {"spec": {"replicas": 1}}, {"spec": {"replicas": 5}}, ["spec.replicas", "spec.x.y"]
    )

    assert wanted == {"spec": {"replicas": 5}}


def entry(manager: str, operation: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}


def live(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "metadata": {"managedFields": list(entries)}}


def test_the_first_update_takes_over_what_the_create_set() -> None:
    status = entry("pulumi-kubernetes", "Update", {"f:status": {}}, subresource="status")
    created = entry("pulumi-kubernetes", "Update", {"f:data": {"f:a": {}}})
    applied = entry("ours", "Apply", {"f:data": {"f:b": {}}})

    taken = decisions.taken_over(live(status, created, applied), "ours")

    assert taken == [status, entry("ours", "Apply", {"f:data": {"f:a": {}, "f:b": {}}}, apiVersion="v1")]


def test_nothing_is_taken_over_twice_or_from_strangers() -> None:
    assert decisions.taken_over(live(entry("ours", "Apply", {}), entry("hpa", "Update", {})), "ours") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("100m", 0.1),
        ("1k", 1000),
        ("1Ki", 1024),
        ("2e3", 2000),
        ("1.5Gi", 1.5 * 2**30),
        ("x", None),
        (True, None),
    ],
)
def test_quantities_mean_numbers(text: Any, number: float | None) -> None:
    found = decisions.quantity(text)

    assert (None if found is None else float(found)) == number
