from __future__ import annotations

import pytest

from rules.facts.overlay import cannot_be_built, objects
from rules.facts.workloads import ObjectId, Unreadable
from tests.components.graph import ROOT

FOLDER = "deploy/overlays/region-a/echo"
ACCOUNT = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: echo, namespace: echo}}"
LISTING = "kind: Kustomization\nresources: [account.yaml]"


def overlay(**changed: str | bytes) -> dict[str, bytes | str]:
    """An overlay of one file; a file is changed by its name without its end."""
    files: dict[str, bytes | str] = {"kustomization": LISTING, "account": ACCOUNT, **changed}
    return {f"{name}.yaml": text for name, text in files.items()}


def unreadable(files: dict[str, bytes | str]) -> list[tuple[str, str]]:
    return [(each.where, each.what) for each in objects(files, FOLDER).unreadable]


def test_a_committed_overlay_is_read_whole() -> None:
    folder = ROOT / FOLDER
    workloads = objects({each.name: each.read_bytes() for each in folder.iterdir()}, FOLDER)
    assert workloads.unreadable == ()
    assert len(workloads.ids) == len(list(folder.iterdir())) - 1


def test_a_file_that_is_not_listed_is_not_there() -> None:
    other = ACCOUNT.replace("name: echo,", "name: other,")
    assert objects(overlay(other=other)).ids == {ObjectId("ServiceAccount", "echo", "echo")}


def test_a_listed_file_that_is_not_there_is_told() -> None:
    files = overlay()
    del files["account.yaml"]
    assert unreadable(files) == [(f"{FOLDER}/account.yaml", "kustomization.yaml lists it and it is not there")]


def test_a_folder_without_kustomization_is_told() -> None:
    assert unreadable({}) == [(f"{FOLDER}/kustomization.yaml", "there is no such file")]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n"])
def test_an_empty_file_is_told(text: str) -> None:
    assert unreadable(overlay(account=text)) == [(f"{FOLDER}/account.yaml", "it is empty")]


def test_a_file_that_is_no_yaml_is_told_with_its_line() -> None:
    ((where, what),) = unreadable(overlay(account="kind: ServiceAccount\nmetadata: {}}"))
    assert where == f"{FOLDER}/account.yaml"
    assert what.startswith("it is no YAML: line 2: ")


def test_bytes_that_are_no_text_are_told() -> None:
    ((_, what),) = unreadable(overlay(account=b"\xff\xfe\xff"))
    assert what.startswith("it is no YAML: ")
    assert "\n" not in what


def test_a_value_in_the_place_of_an_object_is_told() -> None:
    assert unreadable(overlay(account="just text")) == [
        (f"{FOLDER}/account.yaml", "it holds 'just text' where an object must be")
    ]


@pytest.mark.parametrize(
    "key", ["patches: [{path: patch.yaml}]", "namePrefix: other-", "images: [{name: echo, newTag: x}]"]
)
def test_what_kustomize_would_change_is_told(key: str) -> None:
    ((where, _),) = unreadable(overlay(kustomization=f"{LISTING}\n{key}"))
    assert where == f"{FOLDER}/kustomization.yaml: {key.partition(':')[0]}"


def test_resources_that_are_no_list_are_told() -> None:
    ((where, what),) = unreadable(overlay(kustomization="resources: account.yaml"))
    assert where == f"{FOLDER}/kustomization.yaml: resources"
    assert what == "it is 'account.yaml' and no list of files"


def test_a_second_kustomization_in_the_file_is_told() -> None:
    ((where, _),) = unreadable(overlay(kustomization=f"{LISTING}\n---\n{LISTING}"))
    assert where == f"{FOLDER}/kustomization.yaml"


def test_several_objects_of_one_file_are_read() -> None:
    other = ACCOUNT.replace("name: echo,", "name: other,")
    assert {each.name for each in objects(overlay(account=f"{ACCOUNT}\n---\n{other}")).ids} == {"echo", "other"}


def test_what_an_object_lacks_is_told_after_the_files() -> None:
    found = objects(overlay(kustomization=f"{LISTING}\nnamePrefix: x", account="{apiVersion: v1, kind: Service}"))
    assert [isinstance(each, Unreadable) for each in found.unreadable[:1]] == [True]
    assert found.unreadable[0].where.endswith("namePrefix")
    assert len(found.unreadable) > 1


@pytest.mark.parametrize(
    ("changed", "nothing"),
    [
        ({}, False),
        ({"other": ACCOUNT}, False),
        ({"kustomization": f"{LISTING}\nnamePrefix: x-"}, False),
        ({"account": "{kind: Unknown}"}, False),
        ({"account": ""}, True),
        ({"account": "{"}, True),
        ({"kustomization": "resources: [account.yaml, other.yaml]"}, True),
        ({"kustomization": "kind: Kustomization"}, True),
        ({"kustomization": "["}, True),
    ],
)
def test_of_which_kustomize_makes_nothing(changed: dict[str, str], nothing: bool) -> None:
    assert cannot_be_built(overlay(**changed)) is nothing
