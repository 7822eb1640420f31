from __future__ import annotations

from typing import Any

import pytest

from lab.plugins.kubernetes import helm
from lab.plugins.kubernetes.values import UNKNOWN, Secret

INPUTS: dict[str, Any] = {"name": "istiod", "namespace": "istio-system", "chart": "/charts/istiod", "timeout": 60}


def test_installing_waits_within_the_timeout_and_takes_values_from_stdin() -> None:
    assert helm.arguments("install", INPUTS) == [
        *("install", "istiod", "/charts/istiod", "--namespace", "istio-system"),
        *("--values=-", "--timeout=60s", "--wait"),
    ]


def test_upgrading_starts_from_the_charts_values() -> None:
    assert "--reset-values" in helm.arguments("upgrade", INPUTS)
    assert "--reset-values" not in helm.arguments("upgrade", {**INPUTS, "reuseValues": True})


@pytest.mark.parametrize(
    ("inputs", "command", "flag"),
    [
        ({"createNamespace": True}, "install", "--create-namespace"),
        ({"skipCrds": True}, "install", "--skip-crds"),
        ({"atomic": True}, "upgrade", "--atomic"),
        ({"maxHistory": 3}, "upgrade", "--history-max=3"),
        ({"version": "1.2.3"}, "show", "--version=1.2.3"),
        ({"repositoryOpts": {"repo": "https://charts"}}, "show", "--repo=https://charts"),
    ],
)
def test_inputs_become_flags(inputs: dict[str, Any], command: str, flag: str) -> None:
    assert flag in helm.arguments(command, {**INPUTS, **inputs})


@pytest.mark.parametrize(
    ("command", "flag"), [("upgrade", "createNamespace"), ("install", "maxHistory"), ("show", "atomic")]
)
def test_a_command_gets_only_the_flags_that_it_knows(command: str, flag: str) -> None:
    assert helm.arguments(command, {**INPUTS, flag: True}) == helm.arguments(command, INPUTS)


def test_a_release_that_skips_waiting_does_not_wait_unless_it_is_atomic() -> None:
    assert "--wait" not in helm.arguments("install", {**INPUTS, "skipAwait": True})
    assert "--wait" in helm.arguments("install", {**INPUTS, "skipAwait": True, "atomic": True})


MANIFEST = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: b}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: a}
---
# nothing
"""


def test_resources_are_named_by_kind_and_version() -> None:
    assert helm.resource_names(MANIFEST) == {
        "Deployment.apps/apps/v1": ["istio-system/istiod"],
        "ServiceAccount/v1": ["a", "b"],
    }


def test_a_preview_does_not_know_what_helm_will_tell() -> None:
    state = helm.release_state(INPUTS, INPUTS, None)

    assert (state["resourceNames"], state["status"]) == (UNKNOWN, UNKNOWN)


def test_inputs_are_kept_secret_in_the_state_and_secret_values_stay_so() -> None:
    marks = {**INPUTS, "values": {"password": Secret("x")}}

    state = helm.release_state({**INPUTS, "values": {"password": "x"}}, marks, None)

    assert state["values"] == {"password": Secret("x")}
    assert isinstance(state["__inputs"], Secret)
