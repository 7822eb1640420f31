"""Where clients' requests are read: a Prometheus in one place, or each client's proxy."""

import pytest

from stackfile.model import MetricsConfig
from tests.stackfile.stack_values import MINIMAL, parse, the_problem, with_value


def test_each_proxy_is_asked_unless_it_is_said() -> None:
    assert parse(MINIMAL).metrics == MetricsConfig(prometheus=None, latency=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("service", "monitoring/prometheus:9090"),
        ("service", "monitoring/prometheus-operated:web"),
        ("address", "https://prometheus.corp.local"),
        ("address", "http://10.0.0.1:9090/prometheus/"),
    ],
)
def test_a_prometheus_is_in_one_place(key: str, value: str) -> None:
    metrics = parse(with_value(f"metrics.prometheus.{key}", value)).metrics
    assert metrics.prometheus
    assert metrics.prometheus.model_dump() == {"address": None, "service": None, "counters": "istio", key: value}


@pytest.mark.parametrize(
    ("prometheus", "told"),
    [
        ({}, "$.metrics.prometheus.service: is missing — Prometheus is asked in one place; give its address"),
        (
            {"service": "a/b:1", "address": "https://c"},
            "$.metrics.prometheus.service: is there beside address — Prometheus is asked in one place",
        ),
        ({"service": "prometheus:9090"}, "$.metrics.prometheus.service: "),
        ({"service": "monitoring/prometheus"}, " is not a Service with its port — Prometheus is asked there"),
        ({"address": "prometheus:9090"}, " is not the address of a Prometheus — its API is asked there"),
        ({"address": "https://c/api?x=1"}, " is not the address of a Prometheus"),
        ({"address": "https://user:secret@c"}, "there is a user or a password in the address"),
        ({"service": "a/b:1", "counters": "linkerd"}, "is not a value known here — give istio: istio_requests_total"),
    ],
)
def test_what_is_no_place_is_refused(prometheus: dict[str, str], told: str) -> None:
    problem = the_problem({**MINIMAL, "metrics": {"prometheus": prometheus}})
    assert told in problem
    assert "secret" not in problem
