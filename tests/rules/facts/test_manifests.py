from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.facts.manifests import read
from rules.facts.workloads import (
    Budget,
    Container,
    Deployment,
    Destination,
    DestinationRule,
    HeaderRoute,
    ObjectId,
    OutlierDetection,
    Service,
    ServicePort,
    Subset,
    VirtualService,
    Workloads,
)

HOST = "echo.echo.svc.cluster.local"
Json = dict[str, Any]
ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


def metadata(name: str, wave: str | None = None) -> Json:
    annotations = {"argocd.argoproj.io/sync-wave": wave} if wave else {}
    return {"name": name, "namespace": "echo", "annotations": annotations}


def deployment() -> Json:
    pod = {
        "containers": [{"name": "echo", "image": "echo:1.0.0", "ports": [{"name": "http", "containerPort": 8080}]}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata("echo-v1"),
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"version": "v1"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": "echo", "version": "v1"}}, "spec": pod},
        },
    }


def service() -> Json:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    spec = {"selector": {"app": "echo"}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata("echo"), "spec": spec}


def destination_rule() -> Json:
    detection = {
        "consecutive5xxErrors": 10,
        "consecutiveGatewayErrors": 3,
        "interval": "1m30s",
        "baseEjectionTime": "500ms",
        "maxEjectionPercent": 34,
        "minHealthPercent": 50,
    }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": metadata("echo", "1"),
        "spec": {
            "host": HOST,
            "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
            "trafficPolicy": {"outlierDetection": detection},
        },
    }


def virtual_service() -> Json:
    route = [
        {"destination": {"host": HOST, "subset": "v1", "port": {"number": 80}}, "weight": 90},
        {"destination": {"host": HOST, "subset": "v2", "port": {"number": 80}}, "weight": 10},
    ]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata("echo", "2"),
        "spec": {"hosts": [HOST], "http": [{"route": route}]},
    }


def with_testers() -> Json:
    """Routes of which the first is for the requests of testers alone."""
    found = virtual_service()
    answer = {"response": {"set": {"x-version": "v2"}}}
    match = [{"gateways": ["mesh"], "headers": {"x-echo-version": {"exact": "v2"}}}]
    route = [{"destination": {"host": HOST, "subset": "v2"}, "headers": answer}]
    found["spec"]["http"].insert(0, {"name": "testers-v2", "match": match, "route": route})
    return found


def budget() -> Json:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"version": "v1"}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata("echo-v1"), "spec": spec}


def all_objects() -> list[Json]:
    return [deployment(), service(), destination_rule(), virtual_service(), budget()]


def named(found: Json) -> ObjectId:
    return ObjectId(found["kind"], found["metadata"]["namespace"], found["metadata"]["name"])


def faults(found: object) -> list[str]:
    """Read one object of which something is wrong."""
    workloads = read([found])  # type: ignore[list-item]
    return [f"{each.where}: {each.what}" for each in workloads.unreadable]


def changed(found: Json, path: str, value: object) -> Json:
    """The same object with another value at a dotted path; None takes the key out."""
    *parents, last = path.split("/")
    result = copy.deepcopy(found)
    inner: Any = result
    for step in parents:
        inner = inner[int(step) if step.isdigit() else step]
    key = int(last) if last.isdigit() else last
    if value is None:
        del inner[key]
    else:
        inner[key] = value
    return result


class TestWhatIsRead:
    def test_each_kind(self) -> None:
        assert read(all_objects()) == Workloads(
            deployments=(
                Deployment(
                    ObjectId("Deployment", "echo", "echo-v1"),
                    replicas=3,
                    selector={"version": "v1"},
                    labels={"app": "echo", "version": "v1"},
                    images=("echo:1.0.0",),
                    ports={"http": 8080},
                    unavailable=0,
                    containers=(Container("echo", {"http": 8080}),),
                ),
            ),
            services=(
                Service(
                    ObjectId("Service", "echo", "echo"), {"app": "echo"}, (ServicePort("http", 80, "http"),), kept=False
                ),
            ),
            destination_rules=(
                DestinationRule(
                    ObjectId("DestinationRule", "echo", "echo"),
                    HOST,
                    (Subset("v1", {"version": "v1"}),),
                    OutlierDetection(10, 3, 90.0, 0.5, 34, 50),
                    wave=1,
                    kept=False,
                ),
            ),
            virtual_services=(
                VirtualService(
                    ObjectId("VirtualService", "echo", "echo"),
                    (HOST,),
                    ((Destination(HOST, "v1", 80, 90), Destination(HOST, "v2", 80, 10)),),
                    wave=2,
                    kept=False,
                ),
            ),
            budgets=(Budget(ObjectId("PodDisruptionBudget", "echo", "echo-v1"), {"version": "v1"}, max_unavailable=1),),
            documents={named(found): found for found in all_objects()},
        )

    def test_numbers_of_pulumi_are_whole_though_they_are_floats(self) -> None:
        def with_floats(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: with_floats(inner) for key, inner in value.items()}
            if isinstance(value, list):
                return [with_floats(inner) for inner in value]
            return float(value) if isinstance(value, int) else value

        found = read(with_floats(all_objects()))

        assert repr(replace(found, documents={})) == repr(replace(read(all_objects()), documents={}))

    def test_what_is_left_out_or_empty_has_the_default_of_its_kind(self) -> None:
        plain = changed(deployment(), "spec/strategy", None)
        plain["spec"]["replicas"] = None
        ported = changed(service(), "spec/ports/0", {"port": 80})

        found = read([plain, ported])

        assert (found.deployments[0].replicas, found.deployments[0].unavailable) == (1, "25%")
        assert found.services[0].ports == (ServicePort("", 80, 80),)

    def test_recreate_lets_every_pod_be_missing(self) -> None:
        found = read([changed(deployment(), "spec/strategy", {"type": "Recreate"})])

        assert found.deployments[0].unavailable == "100%"

    def test_images_of_init_containers_are_read_and_those_of_the_sidecar_are_not(self) -> None:
        pod = changed(
            deployment(),
            "spec/template/spec/initContainers",
            [{"name": "first", "image": "first:1.0.0"}, {"name": "istio-proxy", "image": "proxy:1"}],
        )

        assert read([pod]).deployments[0].images == ("first:1.0.0", "echo:1.0.0")

    @pytest.mark.parametrize("weight", [None, 0])
    def test_a_single_destination_without_weight_gets_all_requests(self, weight: int | None) -> None:
        one = {"destination": {"host": HOST, "subset": "v1"}, "weight": weight}

        found = read([changed(virtual_service(), "spec/http/0/route", [one])])

        assert found.virtual_services[0].routes == ((Destination(HOST, "v1", None, 100),),)

    def test_of_two_destinations_the_one_without_weight_gets_none(self) -> None:
        found = read([changed(virtual_service(), "spec/http/0/route/1/weight", None)])

        assert [each.weight for each in found.virtual_services[0].routes[0]] == [90, 0]

    def test_a_route_for_testers_is_read_with_its_place_beside_the_split(self) -> None:
        (routes,) = read([with_testers()]).virtual_services

        assert routes.testers == (
            HeaderRoute("x-echo-version", "v2", Destination(HOST, "v2", None, 100, (("x-version", "v2"),)), 0),
        )
        assert [[each.subset for each in route] for route in routes.routes] == [["v1", "v2"]]
        assert routes.positions == (1,)

    def test_routes_hold_in_the_mesh_unless_gateways_are_named(self) -> None:
        bound = changed(virtual_service(), "spec/gateways", ["mesh", "istio-ingress/gateway"])

        assert read([virtual_service()]).virtual_services[0].gateways == ("mesh",)
        assert read([bound]).virtual_services[0].gateways == ("mesh", "istio-ingress/gateway")

    def test_of_several_containers_the_longest_sleep_counts(self) -> None:
        containers = [
            {"name": name, "image": "echo:1.0.0", "lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}}
            for name, seconds in (("echo", 5), ("log", 9), ("istio-proxy", 20))
        ]

        found = read([changed(deployment(), "spec/template/spec/containers", containers)])

        assert found.deployments[0].sleep_seconds == 9

    def test_a_kind_that_no_rule_judges_is_known_by_name_and_told(self) -> None:
        found = read([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "echo"}}])

        assert found.ids == {ObjectId("Namespace", "", "echo")}
        assert [each.where for each in found.unreadable] == ["Namespace /echo"]

    def test_what_no_rule_judges_hides_nothing_of_the_object(self) -> None:
        found = read([changed(virtual_service(), "spec/http/0/timeout", "1ms")])

        assert [each.where for each in found.unreadable] == ["VirtualService echo/echo: spec.http[0].timeout"]
        assert [each.weight for each in found.virtual_services[0].routes[0]] == [90, 10]

    def test_a_kustomization_is_no_object(self) -> None:
        assert read([{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}]) == Workloads()


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(
        ("found", "fault"),
        [
            (None, "object 1: is empty"),
            ([], "object 1: [] is not an object"),
            ("text", 'object 1: "text" is not an object'),
            ({"apiVersion": "v1", "metadata": {"name": "echo"}}, "object 1: kind: is missing"),
            (
                {"apiVersion": "v1", "kind": "Service", "metadata": {}},
                "object 1, a Service: metadata.name: is missing",
            ),
            (
                {"apiVersion": "v1", "kind": "Service", "metadata": []},
                "object 1, a Service: metadata: [] is not an object",
            ),
        ],
    )
    def test_a_document_that_is_no_object(self, found: object, fault: str) -> None:
        assert faults(found) == [fault]

    @pytest.mark.parametrize(
        ("found", "path", "value", "fault"),
        [
            (
                virtual_service(),
                "spec/http/0/route/1/weight",
                "ten",
                'spec.http[0].route[1].weight: "ten" is not a whole number',
            ),
            (
                virtual_service(),
                "spec/http/0/route/1/weight",
                10.5,
                "spec.http[0].route[1].weight: 10.5 is not a whole number",
            ),
            (
                virtual_service(),
                "spec/http/0/route/1/weight",
                True,
                "spec.http[0].route[1].weight: true is not a whole number",
            ),
            (virtual_service(), "spec/http/0/route", "v1", 'spec.http[0].route: "v1" is not a list'),
            (
                virtual_service(),
                "spec/http/0/match",
                [{"uri": {"exact": "/"}, "gateways": ["mesh"], "headers": {"x-version": {"exact": "v1"}}}],
                'spec.http[0].match[0].uri: {"exact": "/"} is judged by no rule',
            ),
            (
                with_testers(),
                "spec/http/0/match/0/gateways",
                ["istio-ingress/gateway"],
                "spec.http[0].match[0].gateways[0]: \"istio-ingress/gateway\": Input should be 'mesh'",
            ),
            (
                with_testers(),
                "spec/http/0/match/0/headers",
                {},
                "spec.http[0].match[0].headers: {} is empty",
            ),
            (
                with_testers(),
                "spec/http/0/match/0/headers/x-echo-version",
                {"exact": "v2", "prefix": "v2"},
                'spec.http[0].match[0].headers.x-echo-version.prefix: "v2" is judged by no rule',
            ),
            (
                with_testers(),
                "spec/http/0/route",
                [],
                "spec.http[0]: a route for testers has 0 destinations and not one",
            ),
            (virtual_service(), "spec/http/0/fault", {}, "spec.http[0].fault: {} is judged by no rule"),
            (virtual_service(), "spec/gateways", "edge", 'spec.gateways: "edge" is not a list'),
            (virtual_service(), "spec", None, "spec: is missing"),
            (
                virtual_service(),
                "metadata/annotations",
                {"argocd.argoproj.io/sync-wave": "second"},
                'metadata.annotations["argocd.argoproj.io/sync-wave"]: "second" is not a whole number in quotes',
            ),
            (virtual_service(), "metadata/namespace", None, "metadata.namespace: is missing"),
            (destination_rule(), "spec/subsets/0/labels/version", 1, "spec.subsets[0].labels.version: 1 is not text"),
            (
                destination_rule(),
                "spec/trafficPolicy/outlierDetection/interval",
                "5",
                'spec.trafficPolicy.outlierDetection.interval: "5" is not a duration',
            ),
            (
                destination_rule(),
                "spec/trafficPolicy/outlierDetection/maxEjectionPercent",
                101,
                "spec.trafficPolicy.outlierDetection.maxEjectionPercent: 101 is not in 0..100",
            ),
            (
                destination_rule(),
                "spec/trafficPolicy/portLevelSettings",
                [{}],
                "spec.trafficPolicy.portLevelSettings: [{}] is judged by no rule",
            ),
            (
                destination_rule(),
                "spec/subsets/0/trafficPolicy",
                {"outlierDetection": {}},
                'spec.subsets[0].trafficPolicy: {"outlierDetection": {}} is judged by no rule',
            ),
            (deployment(), "apiVersion", "v1", 'apiVersion: "v1" is no version of apps'),
            (deployment(), "spec/replicas", -1, "spec.replicas: -1 is not in 0.."),
            (deployment(), "spec/template/spec/containers", [], "spec.template.spec.containers: [] is empty"),
            (
                deployment(),
                "spec/selector",
                {"matchExpressions": [{"key": "app"}]},
                'spec.selector.matchExpressions: [{"key": "app"}] is judged by no rule',
            ),
            (service(), "spec/ports/0/port", 0, "spec.ports[0].port: 0 is not in 1..65535"),
            (service(), "spec/type", "ExternalName", 'spec.type: "ExternalName": Input should be'),
            (
                budget(),
                "spec/maxUnavailable",
                "half",
                'spec.maxUnavailable: "half" is neither a whole number nor a percent',
            ),
            (budget(), "spec/minAvailable", 1, "spec: minAvailable and maxUnavailable are both set"),
        ],
    )
    def test_a_field_is_told_with_its_path(self, found: Json, path: str, value: object, fault: str) -> None:
        (text,) = faults(changed(found, path, value))

        assert text.startswith(f"{found['kind']} ")
        assert text.partition(": ")[2].startswith(fault)

    @pytest.mark.parametrize("value", [{date(2026, 1, 1): 1}, ENDLESS])
    def test_what_only_yaml_can_say_is_told_too(self, value: object) -> None:
        (text,) = faults(changed(deployment(), "spec/replicas", value))

        assert text.endswith("is not a whole number")

    def test_every_fault_of_an_object_is_told(self) -> None:
        bad = changed(deployment(), "spec/replicas", "three")

        assert len(faults(changed(bad, "spec/template/metadata/labels/app", 1))) == 2

    def test_the_kind_is_told_where_it_is_known(self) -> None:
        found = read([changed(deployment(), "spec", None), changed(deployment(), "kind", None)])

        assert [each.kind for each in found.unreadable] == ["Deployment", None]

    def test_the_second_object_of_a_name_is_told_and_the_first_is_kept(self) -> None:
        found = read([virtual_service(), virtual_service()])

        assert len(found.virtual_services) == 1
        assert [each.where for each in found.unreadable] == ["VirtualService echo/echo"]

    def test_the_others_are_read_all_the_same(self) -> None:
        found = read([changed(deployment(), "spec", None), service()])

        assert len(found.services) == 1


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.dates(), inner, max_size=3),
    max_leaves=4,
)


def _places(value: Any) -> list[Callable[[Any], None]]:
    """A way to put something else in each place of an object."""
    places: list[Callable[[Any], None]] = []
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, inner in items:
        places.append(lambda new, key=key: value.__setitem__(key, new))  # type: ignore[misc]
        places += _places(inner)
    return places


@settings(max_examples=300)
@given(data=st.data())
def test_whatever_is_anywhere_in_an_object_raises_nothing(data: st.DataObject) -> None:
    objects = [*all_objects(), changed(with_testers(), "metadata/name", "other")]
    put = data.draw(st.sampled_from(_places(objects)))
    put(data.draw(_ANYTHING))

    read(objects)
