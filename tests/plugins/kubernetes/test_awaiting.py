from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from lab.plugins.kubernetes import awaiting
from lab.plugins.kubernetes.awaiting import Operation, Verdict, is_old_failure
from lab.plugins.kubernetes.connection import ProviderError


def of_kind(
    api_version: str, kind: str, spec: dict[str, Any], status: dict[str, Any], generation: int = 1
) -> dict[str, Any]:
    metadata = {"name": "x", "namespace": "n", "generation": generation}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec, "status": status}


def deployment(wanted: int = 2, *, observed: int = 1, generation: int = 1, **status: Any) -> dict[str, Any]:
    return of_kind(
        "apps/v1", "Deployment", {"replicas": wanted}, {"observedGeneration": observed, **status}, generation
    )


def verdict(obj: dict[str, Any], *slices: dict[str, Any], waited: float = 0, **annotations: str) -> Verdict:
    named = {f"pulumi.com/{key}": value for key, value in annotations.items()}
    return awaiting.judge(obj, {"metadata": {"annotations": named}}, slices, waited)


ROLLED_OUT = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def test_a_deployment_is_ready_when_its_rollout_is_complete() -> None:
    assert verdict(deployment(**ROLLED_OUT)).done


@pytest.mark.parametrize(
    "incomplete",
    [
        {},
        {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
        {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1},
        {"replicas": 3, "updatedReplicas": 2, "availableReplicas": 3},
    ],
    ids=["nothing", "not all new", "not all available", "old ones left"],
)
def test_a_deployment_in_the_midst_of_its_rollout_is_not_ready(incomplete: dict[str, int]) -> None:
    assert not verdict(deployment(**incomplete)).done


def test_a_status_of_an_earlier_generation_says_nothing() -> None:
    assert not verdict(deployment(observed=1, generation=2, **ROLLED_OUT)).done


def test_a_deployment_that_missed_its_deadline_is_hopeless_and_says_why() -> None:
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": "it has timed out",
    }

    found = verdict(deployment(conditions=[condition]))

    assert found.hopeless
    assert "ProgressDeadlineExceeded: it has timed out" in found.reasons


@pytest.mark.parametrize(("before", "now", "old"), [(1, 1, True), (1, 2, False), (None, 1, False)])
def test_a_deadline_missed_before_this_operation_is_no_failure_of_it(
    before: int | None, now: int, *, old: bool
) -> None:
    """What failed stays failed in the status until its pods are ready, also when the cause is mended."""

    def missed(at: int) -> dict[str, Any]:
        condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "lastUpdateTime": at}
        return deployment(conditions=[condition])

    assert is_old_failure(missed(before) if before else deployment(), missed(now)) is old


def test_a_deployment_without_pods_is_ready_at_once() -> None:
    assert verdict(deployment(0)).done


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": status}


def waiting(reason: str, message: str) -> dict[str, Any]:
    return {"name": "c", "state": {"waiting": {"reason": reason, "message": message}}}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (
            {"containerStatuses": [waiting("ImagePullBackOff", "no such image")]},
            ["pod p: ImagePullBackOff: no such image"],
        ),
        ({"initContainerStatuses": [waiting("CrashLoopBackOff", "again")]}, ["pod p: CrashLoopBackOff: again"]),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}
                ]
            },
            ["pod p: Unschedulable: no node"],
        ),
        ({"phase": "Pending", "containerStatuses": [waiting("ContainerCreating", "")]}, ["pod p: phase Pending"]),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, []),
    ],
)
def test_pods_say_why_they_are_not_ready(status: dict[str, Any], told: list[str]) -> None:
    assert awaiting.pod_problems([pod(**status)]) == told


def service(**spec: Any) -> dict[str, Any]:
    return of_kind("v1", "Service", {"clusterIP": "10.0.0.1", "selector": {"a": "b"}, **spec}, {})


def endpoints(*ready: bool, **more: Any) -> dict[str, Any]:
    return {"endpoints": [{"conditions": {"ready": each, **more}} for each in ready]}


def test_a_service_is_ready_when_all_its_endpoints_are() -> None:
    assert verdict(service(), endpoints(True, True)).done
    assert not verdict(service(), endpoints(True), endpoints(False)).done


def test_endpoints_that_are_going_do_not_count() -> None:
    assert verdict(service(), endpoints(True), endpoints(False, terminating=True)).done


def test_a_service_without_pods_is_waited_for_ten_seconds() -> None:
    assert not verdict(service(), waited=9.9).done
    assert verdict(service(), waited=10).done


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"selector": None}, {"type": "ExternalName"}])
def test_a_service_that_selects_no_pods_is_ready_at_once(spec: dict[str, Any]) -> None:
    assert verdict(service(**spec)).done


def test_a_load_balancer_needs_an_address() -> None:
    balanced = service(type="LoadBalancer", selector=None)
    assert not verdict(balanced, waited=math.inf).done
    assert verdict({**balanced, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}).done


@pytest.mark.parametrize(
    ("obj", "done"),
    [
        (of_kind("v1", "Pod", {}, {"phase": "Succeeded"}), True),
        (of_kind("v1", "Pod", {}, {"phase": "Running"}), False),
        (of_kind("batch/v1", "Job", {}, {"conditions": [{"type": "Complete", "status": "True"}]}), True),
        (of_kind("batch/v1", "Job", {}, {}), False),
        (of_kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", {}, {}), False),
        (
            of_kind(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                {},
                {"conditions": [{"type": "Established", "status": "True"}]},
            ),
            True,
        ),
        (
            of_kind(
                "apps/v1",
                "StatefulSet",
                {"replicas": 1},
                {
                    "observedGeneration": 1,
                    "replicas": 1,
                    "readyReplicas": 1,
                    "currentRevision": "a",
                    "updateRevision": "b",
                },
            ),
            False,
        ),
        (
            of_kind(
                "apps/v1",
                "StatefulSet",
                {"replicas": 1},
                {
                    "observedGeneration": 1,
                    "replicas": 1,
                    "readyReplicas": 1,
                    "currentRevision": "b",
                    "updateRevision": "b",
                },
            ),
            True,
        ),
        (
            of_kind(
                "apps/v1", "DaemonSet", {}, {"observedGeneration": 1, "desiredNumberScheduled": 2, "numberAvailable": 2}
            ),
            False,
        ),
        (
            of_kind(
                "apps/v1",
                "DaemonSet",
                {},
                {
                    "observedGeneration": 1,
                    "desiredNumberScheduled": 1,
                    "updatedNumberScheduled": 1,
                    "numberAvailable": 1,
                },
            ),
            True,
        ),
        (of_kind("networking.istio.io/v1", "VirtualService", {}, {}), True),
        (of_kind("v1", "ConfigMap", {}, {}), True),
    ],
)
def test_each_kind_is_ready_in_its_own_way(obj: dict[str, Any], *, done: bool) -> None:
    assert verdict(obj).done is done


def test_a_failed_job_is_hopeless() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "no more"}

    assert verdict(of_kind("batch/v1", "Job", {}, {"conditions": [failed]})).hopeless


def test_what_asks_not_to_be_awaited_is_not() -> None:
    assert verdict(deployment(), skipAwait="true").done


@pytest.mark.parametrize(
    ("expression", "done"),
    [
        ("condition=Synced", True),
        ("condition=Synced=False", False),
        ("condition=Other", False),
        ("jsonpath={.status.list[0].n}=7", True),
        ("jsonpath=.status.phase", True),
        ("jsonpath={.status.phase}=Away", False),
        ('["condition=Synced", "jsonpath={.status.nothing}"]', False),
    ],
)
def test_an_object_may_say_what_to_wait_for(expression: str, *, done: bool) -> None:
    status = {"conditions": [{"type": "Synced", "status": "True"}], "phase": "Here", "list": [{"n": 7}]}

    assert verdict(of_kind("a/v1", "B", {}, status), waitFor=expression).done is done


@pytest.mark.parametrize("expression", ["ready", "jsonpath={.a[?(@.b)]}"])
def test_what_is_not_understood_is_refused_by_name(expression: str) -> None:
    with pytest.raises(ProviderError, match=r"pulumi.com/waitFor: .* is not understood"):
        verdict(of_kind("a/v1", "B", {}, {}), waitFor=expression)


def limit(seconds: float, annotation: str) -> float:
    inputs = {"metadata": {"annotations": {"pulumi.com/timeoutSeconds": annotation}}}
    return awaiting.limit_seconds(Operation(threading.Event(), seconds=seconds), inputs)


def test_the_resources_own_timeout_goes_before_the_annotation_and_that_before_the_default() -> None:
    assert (limit(5, "7"), limit(0, "7"), limit(0, "")) == (5, 7, 600)


def test_a_timeout_that_is_no_number_is_refused() -> None:
    with pytest.raises(ProviderError, match="'soon' is no number above 0"):
        limit(0, "soon")
