from __future__ import annotations

from itertools import permutations
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from components.names import WAVES
from components.service import service_workloads
from rollout.plan.manifests import file_name, overlay_files
from rollout.problem import RolloutError
from rules.facts.overlay import KUSTOMIZATION
from stackfile.reader import load_stack_file
from tests.components.graph import record
from tests.rollout.stack_files import ROOT

CONFIG = load_stack_file(ROOT / "Pulumi.region-a.yaml")

# text that a reader of YAML 1.1 or of YAML 1.2 takes for something else when it is not quoted
LOOKS_LIKE_MORE = [
    *("no", "NO", "y", "on", "Off", "true", "~", "null", "", "=", "<<"),
    *("1", "012", "0o7", "0x1f", "0b1", "1_000", "1e3", "1.", ".5", ".inf", "1:30", "2001-01-01"),
    *(
        "a: b",
        "- a",
        "#a",
        "a #b",
        "*a",
        "&a",
        "!a",
        "@a",
        "%a",
        "`a",
        "'a'",
        '"a"',
        " a",
        "a\nb",
        "\x07",
        "\x85",
        "\u2028",
    ),
]


def an_object(kind: str = "ConfigMap", name: str = "echo", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "echo"}, **fields}


def object_files(*objects: dict[str, Any]) -> dict[str, str]:
    """The files of an overlay but for its kustomization."""
    files = overlay_files(objects, "echo", "Pulumi.region-a.yaml")
    return {name: text for name, text in files.items() if name != KUSTOMIZATION}


def text_of(document: dict[str, Any]) -> str:
    (text,) = object_files(document).values()
    return text


class TestFileNames:
    @pytest.mark.parametrize(
        ("kind", "name", "file"),
        [
            ("Deployment", "echo-v1", "deployment-v1.yaml"),
            ("PodDisruptionBudget", "echo-v10", "pdb-v10.yaml"),
            ("ServiceAccount", "echo", "serviceaccount.yaml"),
            ("DestinationRule", "echo", "dr.yaml"),
            ("VirtualService", "echo", "vs.yaml"),
        ],
    )
    def test_are_short_for_what_is_known(self, kind: str, name: str, file: str) -> None:
        assert file_name(kind, name, "echo") == file

    def test_are_without_the_services_name_and_with_what_only_begins_like_it(self) -> None:
        assert file_name("Deployment", "web-v1", "web") == "deployment-v1.yaml"
        assert file_name("Service", "website", "web") == "service-website.yaml"

    @pytest.mark.parametrize(
        ("name", "file"), [("echo", "networkpolicy.yaml"), ("deny-all", "networkpolicy-deny-all.yaml")]
    )
    def test_of_an_unknown_kind_say_its_kind_and_name(self, name: str, file: str) -> None:
        assert list(object_files(an_object("NetworkPolicy", name))) == [file]

    def test_that_two_objects_share_are_refused(self) -> None:
        with pytest.raises(RolloutError, match=r"two objects would be rendered as deployment-v1\.yaml"):
            overlay_files([an_object("Deployment", "echo-v1"), an_object("Deployment", "v1")], "echo", "f")


class TestText:
    def test_says_which_file_to_change_instead(self) -> None:
        assert text_of(an_object()).splitlines()[0] == (
            "# Rendered by `rollout render` from Pulumi.region-a.yaml; change that file, not this one."
        )

    def test_begins_with_what_the_object_is_and_is_sorted_from_there(self) -> None:
        text = text_of({"spec": {"b": 1, "a": [{"z": 1, "name": "it"}]}, **an_object()})

        assert text.splitlines()[1:] == [
            "apiVersion: v1",
            "kind: ConfigMap",
            "metadata:",
            "  name: echo",
            "  namespace: echo",
            "spec:",
            "  a:",
            "    - name: it",
            "      z: 1",
            "  b: 1",
        ]

    def test_is_the_same_whatever_order_the_keys_come_in(self) -> None:
        keys = [("a", 1), ("b", {"d": 1, "c": 2}), ("name", "n")]

        assert len({text_of(an_object(spec=dict(order))) for order in permutations(keys)}) == 1

    def test_ends_with_one_newline(self) -> None:
        text = text_of(an_object(spec={"last": "line"}))

        assert text.endswith("line\n")

    def test_is_not_folded(self) -> None:
        long = "word " * 100 + "end"

        assert f"text: {long}\n" in text_of(an_object(text=long))

    @pytest.mark.parametrize("value", LOOKS_LIKE_MORE)
    def test_that_looks_like_something_else_is_quoted(self, value: str) -> None:
        document = an_object(data={"key": value})
        text = text_of(document)

        assert f"key: {value}\n" not in text
        assert yaml.safe_load(text) == YAML(typ="safe", pure=True).load(text) == document

    @settings(deadline=None)
    @given(st.text(max_size=20))
    def test_is_read_back_by_readers_of_both_versions_of_yaml(self, value: str) -> None:
        document = an_object(data={"key": value, "list": [value]})
        text = text_of(document)

        assert yaml.safe_load(text) == document
        assert YAML(typ="safe", pure=True).load(text) == document

    def test_of_a_usual_value_is_not_quoted(self) -> None:
        assert "image: registry.corp.local/echo:1.0.0\n" in text_of(an_object(image="registry.corp.local/echo:1.0.0"))


class TestKustomization:
    # not in the order of their files
    OBJECTS = (an_object("VirtualService"), an_object("Deployment", "echo-v1"), an_object("ConfigMap"))

    def kustomization(self) -> str:
        return overlay_files(self.OBJECTS, "echo", "Pulumi.region-a.yaml")["kustomization.yaml"]

    def test_says_which_file_to_change_instead(self) -> None:
        assert self.kustomization().splitlines()[0] == text_of(an_object()).splitlines()[0]

    def test_is_one_of_kustomize(self) -> None:
        document = yaml.safe_load(self.kustomization())

        assert (document["apiVersion"], document["kind"]) == ("kustomize.config.k8s.io/v1beta1", "Kustomization")

    def test_lists_exactly_the_other_files_sorted(self) -> None:
        listed = yaml.safe_load(self.kustomization())["resources"]

        assert listed == ["configmap.yaml", "deployment-v1.yaml", "vs.yaml"] == sorted(object_files(*self.OBJECTS))

    def test_changes_nothing_of_the_objects(self) -> None:
        assert set(yaml.safe_load(self.kustomization())) == {"apiVersion", "kind", "resources"}


class TestWaves:
    def test_never_put_an_object_before_one_that_it_depends_on(self) -> None:
        graph = record(lambda: service_workloads(CONFIG, CONFIG.services["echo"], pulumi.ResourceOptions()) and None)
        waves = {node.urn: WAVES.get(node.kind, 0) for node in graph.objects}

        backward = [
            (later.urn, earlier.urn)
            for later in graph.objects
            for earlier in graph.objects
            if later is not earlier and graph.waits_for(later, earlier) and waves[later.urn] < waves[earlier.urn]
        ]

        assert len(waves) == 8
        assert backward == []
