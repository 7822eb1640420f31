"""A configuration that is legal and unsafe by itself needs no second revision to be told so: `pulumi preview` stops there."""

import logging

import pulumi
import pytest

from components.existing.safety import UnsafeError, require_safe
from components.service import workload_objects
from rules.facts.manifests import read
from rules.facts.region import Region
from rules.finding import Severity
from rules.judgement import judge_region
from tests.components.graph import STACK_FILES, attempt, record, run_main, shipped_echo, stack_config
from tests.stackfile.stack_values import MINIMAL, NGINX, parse, with_value

EJECTING = with_value("services.echo.maxEjectionPercent", 34)
"""One of three pods may be out at a time."""


def test_a_safe_configuration_is_let_pass_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    require_safe(parse(EJECTING))
    assert caplog.messages == []


def test_every_option_of_a_service_is_known_to_the_rules(caplog: pytest.LogCaptureFixture) -> None:
    one = {
        **NGINX["versions"]["v1"],
        "env": {"A": "1"},
        "configMaps": {"/etc/nginx/conf.d": "nginx-1"},
        "secrets": {"/etc/tls": "nginx-tls-1"},
    }
    nginx = {
        **NGINX,
        "versions": {"v1": one, "v2": {**one, "weight": 0, "testers": False}},
        "namespace": "market",
        "containerPort": 8000,
        "env": {"B": "2"},
        "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}},
        "serviceAccount": "server",
        "runAsUser": 101,
        "writable": ["/var/cache/nginx", "/tmp"],
        "hosts": ["nginx.corp.local"],
        "versionHeader": "x-version",
        "testers": {"header": "x-ask"},
        "drain": {"by": "sleep", "seconds": 10, "graceSeconds": 40},
        "path": "deploy/nginx",
    }
    require_safe(parse({**MINIMAL, "gateway": {}, "services": {"nginx": nginx}}))
    assert caplog.messages == []


def test_everything_that_any_rule_refuses_is_told_in_the_rules_words() -> None:
    values = with_value("services.echo.versions.v1.replicas", 2)
    config = parse(values)
    workloads = read(workload_objects(config, config.services["echo"]))
    findings = judge_region([Region.of(config.model_dump(by_alias=True), "echo", workloads)])
    assert {"ejection-can-fire", "rollback-capacity"} <= {
        finding.rule_id for finding in findings if finding.severity is Severity.REFUSED
    }
    with pytest.raises(UnsafeError) as caught:
        require_safe(config)
    assert str(caught.value) == "\n".join(str(finding) for finding in findings if finding.severity is Severity.REFUSED)


def test_a_refusal_ends_the_program_with_the_message_alone_before_anything_is_registered() -> None:
    graph, error = attempt(run_main, stack_config(STACK_FILES[0], services=shipped_echo(maxEjectionPercent=1)))
    assert isinstance(error, pulumi.RunError)
    assert str(error).endswith("[ejection-can-fire]")
    assert [node.kind for node in graph] == ["Stack"]


def test_what_is_waived_is_a_warning_of_the_update(caplog: pytest.LogCaptureFixture) -> None:
    waived = {"ejection-can-fire": "nothing fails here"}
    values = {**with_value("services.echo.maxEjectionPercent", 1), "rules": {"waived": waived}}

    def run() -> None:
        require_safe(parse(values))

    with caplog.at_level(logging.WARNING):
        record(run)
    assert any("[ejection-can-fire]" in message for message in caplog.messages)
