"""Any container that speaks HTTP can be a service: what a file must say of one is its versions, and all else has a default.

What a container would only refuse at its start, or Kubernetes at `pulumi up`, is told before.
"""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from rollout.terms import LATENCIES
from stackfile.messages import fields_of
from stackfile.model import MOST_BOUNDS, ServiceConfig, VersionConfig
from tests.components.graph import ROOT
from tests.stackfile.stack_values import MINIMAL, NGINX, parse, problems, the_problem, with_value


def with_services(**services: Any) -> dict[str, Any]:
    return {**MINIMAL, "services": {**MINIMAL["services"], **services}}


def echo(path: str, value: object) -> ServiceConfig:
    """The service of the smallest file, with one of its values changed."""
    return parse(with_value(f"services.echo.{path}", value)).services["echo"]


def test_a_service_needs_only_its_versions_and_has_for_the_rest_what_echo_has() -> None:
    given = parse(MINIMAL).services["echo"].model_dump(by_alias=True, exclude={"versions"})
    assert given == {
        "namespace": None,
        "port": 80,
        "containerPort": 8080,
        "env": {},
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
        "probes": {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"},
        "drain": {"by": "server", "seconds": 5, "graceSeconds": 30},
        "serviceAccount": None,
        "runAsUser": 65532,
        "writable": (),
        "hosts": (),
        "versionHeader": "x-rollout-version",
        "testers": None,
        "requests": ({"method": "GET", "path": "/", "headers": {}, "body": "", "weight": 1, "expectedStatus": (200,)},),
        "failureStatuses": (),
        "latencyBounds": (),
        "path": None,
        "stable": None,
        "podsForAllTraffic": None,
        "maxEjectionPercent": None,
        "connectionPool": {"http1MaxPendingRequests": 1000, "maxRequestsPerConnection": 100, "maxConnections": 1000},
        "outlierDetection": {"consecutive5xxErrors": 10, "interval": "5s", "baseEjectionTime": "30s"},
    }


# --- several


def test_each_service_knows_its_name_and_has_a_namespace_of_that_name_unless_it_is_said() -> None:
    services = parse(with_services(nginx=NGINX, shop10=NGINX, shop2={**NGINX, "namespace": "shop"})).services
    assert {key: (each.name, each.namespace) for key, each in services.items()} == {
        "echo": ("echo", "echo"),
        "nginx": ("nginx", "nginx"),
        "shop2": ("shop2", "shop"),
        "shop10": ("shop10", "shop10"),
    }
    assert [*services] == ["echo", "nginx", "shop2", "shop10"]


def test_a_file_without_any_service_is_refused() -> None:
    assert "$.services: names no service — there would be nothing to deliver" in the_problem(
        {**MINIMAL, "services": {}}
    )


@pytest.mark.parametrize("name", ["Shop", "shop_1", "-shop", "shop.eu", "", "s" * 51])
def test_a_service_whose_name_cannot_name_an_object_is_refused(name: str) -> None:
    assert "is not a DNS label" in the_problem(with_services(**{name: NGINX}))


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_a_namespace_that_is_not_the_services_is_refused(namespace: str) -> None:
    problem = the_problem(with_services(nginx={**NGINX, "namespace": namespace}))
    assert f"$.services: nginx would be in the namespace {namespace}, which is not the services' own — " in problem


def test_what_is_wrong_with_each_service_is_told() -> None:
    wrong = {"versions": {"v1": {**NGINX["versions"]["v1"], "weight": 90}}, "stable": "v3"}
    assert [each.split(": ")[1] for each in problems(with_services(nginx=wrong, shop={**wrong, "prot": 1}))] == [
        "$.services.nginx.versions",
        "$.services.shop.versions",
        "$.services.shop.prot",
        "$.services.nginx.stable",
        "$.services.shop.stable",
    ]


# --- what is no value of an option


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("namespace", "Echo", ' "Echo" is not a DNS label of at most 50 characters — '),
        ("port", 0, " 0 is not in 1..65535 — it is a TCP port"),
        ("containerPort", "8080", ' "8080" is not a whole number in 1..65535 — it is a TCP port'),
        ("env.A", 1, " 1 is not text (a number"),
        ("env.A-B", "1", ' "A-B" is not the name of an environment variable — '),
        ("versions.v1.env.1A", "1", ' "1A" is not the name of an environment variable — '),
        ("resources.requests.cpu", "lots", ' "lots" is not a quantity — '),
        ("resources.limits.memory", "-1Mi", ' "-1Mi" is not a quantity — '),
        ("probes.readiness", "readyz", ' "readyz" is not a path of an address — '),
        ("drain.by", "hope", ' "hope" is not a value known here — give server: '),
        ("drain.seconds", 0, " 0 is not in 1..300 — "),
        ("serviceAccount", "a/b", ' "a/b" is not a DNS label of at most 50 characters — '),
        ("runAsUser", 0, " 0 is not in 1..65535 — it is the number of a user, and 0 is root"),
        ("writable", ["tmp"], ' "tmp" is not the path of a folder — '),
        ("writable", ["/"], ' "/" is not the path of a folder — '),
        ("versions.v1.configMaps./etc/../x", "a", ' "/etc/../x" is not the path of a folder — '),
        ("versions.v1.configMaps./etc/x", "A_B", ' "A_B" is not the name of an object — '),
        ("versions.v1.secrets./etc/x/", "a", ' "/etc/x/" is not the path of a folder — '),
        ("versions.v1.secrets./etc/x", "", ' "" is not the name of an object — '),
        ("versions.v1.testers", "no", ' "no" is neither true nor false — give false: '),
        ("hosts", ["*.corp.local"], ' "*.corp.local" is not a DNS name — '),
        ("hosts", "echo.corp.local", " is not a list — give a list of the names by which clients outside the mesh ask"),
        ("versionHeader", "X-Version", ' is not the name of a header or "" — Envoy compares headers in lower case; '),
        ("testers", {}, "is missing and has no default — give the request header whose value is a version's name"),
        ("testers.header", ":authority", ' ":authority" is not the name of a header — '),
        (
            "failureStatuses",
            [503],
            " 503 is not in 400..499 — it is an HTTP status; one of 500 or more is always a failure",
        ),
        ("latencyBounds", ["0.25s"], ' "0.25s" is not a duration — '),
        ("latencyBounds", ["1ms", "2ms", "3ms", "4ms"], " — give a list of up to three latencies"),
        ("path", "../overlay", ' "../overlay" is not a folder\'s path from the root of the repository — '),
    ],
)
def test_what_is_no_value_of_an_option_is_refused(path: str, value: object, told: str) -> None:
    key, _, _ = path.replace("versions.v1.", "versions/v1/").partition(".")
    problem = the_problem(with_value_at(path, value))
    assert f"$.services.echo.{key.replace('/', '.')}" in problem
    assert told in problem


def with_value_at(path: str, value: object) -> dict[str, Any]:
    """The minimal values with one of echo's changed; a path of a folder is one key."""
    before, folder, name = path.partition("./")
    if not folder:
        return with_value(f"services.echo.{path}", value)
    return with_value(f"services.echo.{before}", {f"/{name}": value})


@pytest.mark.parametrize(
    "drain", [{"seconds": 10, "graceSeconds": 10}, {"seconds": 30}, {"by": "sleep", "seconds": 20, "graceSeconds": 5}]
)
def test_a_pod_that_would_be_killed_with_requests_under_way_is_refused(drain: dict[str, Any]) -> None:
    problem = the_problem(with_value("services.echo.drain", drain))
    assert (
        f"$.services.echo.drain: graceSeconds {drain.get('graceSeconds', 30)} is not more than seconds {drain['seconds']} — "
        in problem
    )


def test_a_pod_that_has_a_second_for_the_slowest_request_is_accepted() -> None:
    assert echo("drain", {"seconds": 10, "graceSeconds": 11}).drain.grace_seconds == 11


def test_a_status_that_is_expected_and_a_failure_is_refused() -> None:
    service = {
        **MINIMAL["services"]["echo"],
        "failureStatuses": [404, 429],
        "requests": [{"expectedStatus": [200, 404]}],
    }

    assert "$.services.echo.failureStatuses: 404 is an expectedStatus of a request too — " in the_problem(
        {**MINIMAL, "services": {"echo": service}}
    )


def test_latency_bounds_are_known_in_milliseconds_as_many_as_are_measured_elsewhere() -> None:
    assert echo("latencyBounds", ["250ms", "1s", "1m30s500ms"]).latency_bounds_ms == (250, 1_000, 90_500)
    assert len(LATENCIES) == MOST_BOUNDS


@pytest.mark.parametrize(("value", "text"), [(1, "1"), ("0.5", "0.5"), ("250m", "250m"), ("1Gi", "1Gi")])
def test_a_quantity_is_kept_as_it_is_written(value: object, text: str) -> None:
    assert echo("resources.limits.cpu", value).resources.limits.cpu == text


def test_no_header_names_the_version_where_that_is_turned_off() -> None:
    assert echo("versionHeader", "").version_header == ""


# --- the document


DOCUMENT = (ROOT / "docs" / "services.md").read_text()


def test_the_document_has_every_option_and_no_other() -> None:
    columns = [line.split("|")[1] for line in DOCUMENT.splitlines() if line.startswith("| `")]
    named = [name for column in columns for name in re.findall(r"`(\w+)`", column)]
    assert sorted(named) == sorted([*fields_of(ServiceConfig), *fields_of(VersionConfig)])


def test_the_documents_service_is_accepted() -> None:
    text = DOCUMENT.partition("```yaml\n")[2].partition("```")[0]
    services = YAML(typ="safe", pure=True).load(text)["echo-rollout:services"]
    assert parse(with_services(**services)).services["shop"].drain.by == "sleep"
