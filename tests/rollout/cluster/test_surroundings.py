from __future__ import annotations

from typing import Any

import pytest

from components.names import ServiceAddress
from rollout.cluster.surroundings import (
    Autoscaler,
    argo_cd_away,
    injects,
    other_destination_rules,
    other_virtual_services,
    parse_autoscalers,
    parse_projects,
    with_sidecars,
    without_sidecar,
)

ECHO = ServiceAddress("echo", "echo", hosts=("echo.example.com",))
CLIENTS = {"shop", "istio-system"}
HOST = "echo.echo.svc.cluster.local"


def named(namespace: str, name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, **more}


def pod(name: str, *, ready: bool = True, leaving: bool = False, app: str = "", sidecar: bool = True) -> dict[str, Any]:
    metadata: dict[str, Any] = {"namespace": "argocd", "name": name, "labels": {"app.kubernetes.io/name": app}}
    containers = [{"name": "echo"}, *([{"name": "istio-proxy"}] if sidecar else [])]
    return {
        "metadata": {**metadata, **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else {})},
        "spec": {"containers": containers},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


class TestVirtualServices:
    @pytest.mark.parametrize("host", [HOST, "echo", "echo.echo", "echo.echo.svc"])
    def test_of_its_host_are_rivals(self, host: str) -> None:
        found = other_virtual_services([named("echo", "by-hand", spec={"hosts": ["other", host]})], ECHO)

        assert [*found] == ["VirtualService echo/by-hand"]

    def test_of_another_namespace_are_rivals(self) -> None:
        found = other_virtual_services([named("shop", "echo", spec={"hosts": [HOST], "gateways": ["mesh"]})], ECHO)

        assert [*found] == ["VirtualService shop/echo"]

    def test_of_its_outer_host_at_a_gateway_are_rivals(self) -> None:
        spec = {"hosts": ["echo.example.com"], "gateways": ["istio-ingress/gateway"]}

        assert [*other_virtual_services([named("shop", "x", spec=spec)], ECHO)] == ["VirtualService shop/x"]

    @pytest.mark.parametrize(
        ("name", "gateways", "headers", "is_rival"),
        [
            ("echo-testers", ["istio-ingress/gateway"], ["x-ask", "x-ask-secret"], False),
            ("by-hand", ["istio-ingress/gateway"], ["x-ask", "x-ask-secret"], True),
            ("echo-testers", ["istio-ingress/gateway"], ["x-ask"], True),
            ("echo-testers", ["istio-ingress/gateway"], [], True),
            ("echo-testers", ["istio-ingress/gateway", "mesh"], ["x-ask", "x-ask-secret"], True),
        ],
    )
    def test_of_testers_with_a_secret_at_a_gateway_are_none(
        self, name: str, gateways: list[str], headers: list[str], is_rival: bool
    ) -> None:
        match = {"headers": {header: {"exact": "v"} for header in headers}}
        spec = {
            "hosts": ["echo.example.com"],
            "gateways": gateways,
            "http": [{"match": [match]}, {"match": [match, match]}],
        }

        found = [*other_virtual_services([named("istio-ingress", name, spec=spec)], ECHO)]

        assert bool(found) == is_rival

    @pytest.mark.parametrize(
        ("namespace", "name", "spec"),
        [
            ("echo", "echo", {"hosts": [HOST]}),
            # an exact host goes before a wildcard
            ("shop", "x", {"hosts": ["*.svc.cluster.local", "*"]}),
            # another service's, by a short name
            ("shop", "x", {"hosts": ["echo"]}),
            ("shop", "x", {"hosts": ["shop.example.com"], "gateways": ["istio-ingress/gateway"]}),
            # inside the mesh nobody asks for it by that name
            ("shop", "x", {"hosts": ["echo.example.com"]}),
            # a delegate has none
            ("shop", "x", {"http": []}),
        ],
    )
    def test_of_others_are_none(self, namespace: str, name: str, spec: dict[str, Any]) -> None:
        assert not [*other_virtual_services([named(namespace, name, spec=spec)], ECHO)]


class TestDestinationRules:
    @pytest.mark.parametrize(
        ("namespace", "name", "host"),
        [
            ("echo", "second", "echo"),
            ("shop", "echo", HOST),
            # of a client's own namespace even a wildcard goes first
            ("shop", "tls", "*.local"),
            ("shop", "tls", "*"),
        ],
    )
    def test_that_some_client_takes_are_rivals(self, namespace: str, name: str, host: str) -> None:
        found = other_destination_rules([named(namespace, name, spec={"host": host})], ECHO, CLIENTS)

        assert [*found] == [f"DestinationRule {namespace}/{name}"]

    @pytest.mark.parametrize(
        ("namespace", "name", "host"),
        [
            ("echo", "echo", HOST),
            ("echo", "tls", "*.local"),
            ("istio-system", "tls", "*.local"),
            ("shop", "echo", "echo"),
            ("shop", "x", "*.example.com"),
            ("batch", "echo", HOST),
        ],
    )
    def test_that_no_client_takes_are_none(self, namespace: str, name: str, host: str) -> None:
        assert not [*other_destination_rules([named(namespace, name, spec={"host": host})], ECHO, CLIENTS)]


class TestArgoCd:
    def test_is_there_with_a_ready_pod_of_each(self) -> None:
        pods = [pod("c", app="argocd-application-controller"), pod("r", app="argocd-repo-server")]

        assert not argo_cd_away(pods)

    def test_is_away_where_none_is_ready(self) -> None:
        elsewhere = pod("c", app="argocd-application-controller")
        elsewhere["metadata"]["namespace"] = "other"

        assert argo_cd_away([elsewhere, pod("r", app="argocd-repo-server", ready=False)]) == (
            "argocd-application-controller",
            "argocd-repo-server",
        )


class TestSidecars:
    @pytest.mark.parametrize(
        ("labels", "does"),
        [
            ({"istio-injection": "enabled"}, True),
            ({"istio.io/rev": "canary"}, True),
            ({"istio-injection": "disabled", "istio.io/rev": "canary"}, False),
            ({}, False),
            (None, False),
        ],
    )
    def test_are_injected_by_a_label(self, labels: dict[str, str] | None, does: bool) -> None:
        assert injects({"metadata": {"labels": labels}}) is does

    def test_that_are_missing_are_told_of_pods_that_stay(self) -> None:
        pods = [
            pod("b", sidecar=False),
            pod("a", sidecar=False, ready=False),
            pod("c"),
            pod("d", sidecar=False, leaving=True),
        ]

        assert without_sidecar(pods) == ("a", "b")

    def test_tell_which_namespaces_have_clients(self) -> None:
        assert with_sidecars([pod("a", sidecar=False)]) == frozenset()
        assert with_sidecars([pod("a"), pod("b")]) == {"argocd"}


def test_autoscalers_are_those_of_its_deployments() -> None:
    def scaling(name: str, kind: str = "Deployment", **more: int) -> dict[str, Any]:
        return named(
            "echo", f"hpa-{name}", spec={"scaleTargetRef": {"kind": kind, "name": name}, "maxReplicas": 9, **more}
        )

    found = parse_autoscalers(
        [scaling("echo-v1", minReplicas=2), scaling("echo-v2"), scaling("shop-v1"), scaling("echo-v1", "StatefulSet")],
        ["echo-v1", "echo-v2"],
    )

    assert found == (Autoscaler("hpa-echo-v1", "echo-v1", 2, 9), Autoscaler("hpa-echo-v2", "echo-v2", 1, 9))


def test_projects_are_told_with_what_they_let_in_and_when() -> None:
    windows = [{"kind": "deny", "schedule": "0 13 * * *", "duration": "1h", "applications": ["*"]}]
    found = parse_projects(
        [
            named("argocd", "echo", spec={"sourceRepos": ["https://git/x"], "syncWindows": windows}),
            named("argocd", "default", spec={}),
        ]
    )

    assert [(name, each.repositories, [str(one) for one in each.windows]) for name, each in found.items()] == [
        ("echo", ("https://git/x",), ["deny window 0 13 * * * for 1h"]),
        ("default", (), []),
    ]
