from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollout.access import PulumiAccess, RegionAccess
from rollout.cluster.stack_outputs import ServiceOutputs, parse_outputs, read_outputs
from rollout.problem import RolloutError

REGION = RegionAccess("region-a", "region-a", "a")
ECHO = {
    "weights": {"v1": 90, "v2": 10},
    "url": "http://echo.echo.svc.cluster.local/",
    "namespace": "echo",
    "port": 80,
    "images": {"v1": "e:1"},
}
WEB = {
    "weights": {"v1": 100},
    "url": "http://web.shop.svc.cluster.local:8080/",
    "namespace": "shop",
    "port": 8080,
    "application": "argocd/web",
}
OUTPUTS = {"region": "region-a", "services": {"echo": ECHO, "web": WEB}, "kubeconfig": None}


def fake_pulumi(directory: Path, script: str) -> PulumiAccess:
    """A `pulumi` that runs a shell script, and the access to it."""
    binaries = directory / "bin"
    binaries.mkdir()
    (binaries / "pulumi").write_text(f"#!/bin/sh\n{script}\n")
    (binaries / "pulumi").chmod(0o755)
    return PulumiAccess(directory, binaries, {"FROM_REGIONS_FILE": "yes"})


def outputs_of_echo(**values: object) -> str:
    return json.dumps({**OUTPUTS, "services": {"echo": {**ECHO, **values}}})


def refusal(text: str) -> RolloutError:
    with pytest.raises(RolloutError) as refused:
        parse_outputs(text, REGION)
    return refused.value


class TestParseOutputs:
    def test_gives_what_a_verification_needs_of_each_service(self) -> None:
        outputs = parse_outputs(json.dumps(OUTPUTS), REGION)

        assert outputs.services == {
            "echo": ServiceOutputs(
                weights={"v1": 90, "v2": 10}, url="http://echo.echo.svc.cluster.local/", namespace="echo", port=80
            ),
            "web": ServiceOutputs(
                weights={"v1": 100},
                url="http://web.shop.svc.cluster.local:8080/",
                namespace="shop",
                port=8080,
                application="argocd/web",
            ),
        }

    def test_names_no_application_where_pulumi_delivers(self) -> None:
        outputs = parse_outputs(json.dumps(OUTPUTS), REGION)

        assert outputs.service("echo", REGION).application is None
        assert outputs.service("web", REGION).application == "argocd/web"

    def test_a_service_that_is_not_up_is_to_be_brought_up(self) -> None:
        outputs = parse_outputs(json.dumps(OUTPUTS), REGION)

        with pytest.raises(RolloutError) as refused:
            outputs.service("shop", REGION)

        (problem,) = refused.value.problems
        assert problem.what == "stack region-a has no service shop; it has: echo, web"
        assert "pulumi up -s region-a" in problem.fix

    @pytest.mark.parametrize("application", ["echo", "a/b/c", "/echo", 1])
    def test_what_names_no_application_is_refused(self, application: object) -> None:
        assert "output services.echo.application" in refusal(outputs_of_echo(application=application)).problems[0].what

    def test_a_stack_without_outputs_is_to_be_brought_up(self) -> None:
        problem = refusal("{}\n").problems[0]

        assert problem.what == "stack region-a has no outputs yet"
        assert "pulumi up -s region-a" in problem.fix

    def test_all_missing_outputs_are_told_together(self) -> None:
        assert [problem.what for problem in refusal('{"services": {"echo": {"url": "http://echo/"}}}').problems] == [
            "stack region-a: output region: Field required",
            "stack region-a: output services.echo.weights: Field required",
            "stack region-a: output services.echo.namespace: Field required",
            "stack region-a: output services.echo.port: Field required",
        ]

    def test_those_of_a_stack_that_was_brought_up_before_there_were_services_are_refused(self) -> None:
        (problem,) = refusal(json.dumps({"region": "region-a", **ECHO})).problems

        assert problem.what == "stack region-a: output services: Field required"
        assert "pulumi up -s region-a" in problem.fix

    @pytest.mark.parametrize("weights", [{"v1": 90, "v2": 11}, {"v1": "many"}, {"v1": 110, "v2": -10}, {}])
    def test_weights_that_are_no_split_are_refused(self, weights: dict[str, object]) -> None:
        assert "output services.echo.weights" in refusal(outputs_of_echo(weights=weights)).problems[0].what

    def test_outputs_of_another_region_are_refused(self) -> None:
        problem = refusal(json.dumps({**OUTPUTS, "region": "region-b"})).problems[0]

        assert problem.what == "stack region-a: output region is region-b, but this is about region-a"

    def test_text_that_is_no_json_is_refused(self) -> None:
        assert "output list" in refusal("warning: something").problems[0].what


class TestReadOutputs:
    def test_asks_the_cli_for_the_stack_in_its_project_and_environment(self, tmp_path: Path) -> None:
        pulumi = fake_pulumi(
            tmp_path,
            f"""[ "$FROM_REGIONS_FILE $PWD" = "yes {tmp_path}" ] || exit 9
case "$*" in "stack output --json "*"--stack region-a") echo '{json.dumps(OUTPUTS)}' ;; *) exit 8 ;; esac""",
        )

        assert read_outputs(pulumi, REGION).services["echo"].weights == {"v1": 90, "v2": 10}

    def test_never_asks_for_secrets(self, tmp_path: Path) -> None:
        pulumi = fake_pulumi(tmp_path, f"""echo "$*" > arguments; echo '{json.dumps(OUTPUTS)}'""")

        read_outputs(pulumi, REGION)

        assert "--show-secrets" not in (tmp_path / "arguments").read_text()

    def test_an_unknown_stack_is_to_be_brought_up(self, tmp_path: Path) -> None:
        pulumi = fake_pulumi(tmp_path, "echo \"error: no stack named 'region-a' found\" >&2; exit 6")

        with pytest.raises(RolloutError) as refused:
            read_outputs(pulumi, REGION)

        assert "there is no stack region-a" in refused.value.problems[0].what
        assert "pulumi up -s region-a" in refused.value.problems[0].fix

    def test_another_failure_is_told_in_pulumis_words(self, tmp_path: Path) -> None:
        pulumi = fake_pulumi(tmp_path, "echo 'error: PULUMI_ACCESS_TOKEN must be set' >&2; exit 3")

        with pytest.raises(RolloutError) as refused:
            read_outputs(pulumi, REGION)

        assert refused.value.problems[0].what == (
            "`pulumi stack output -s region-a` ended with code 3 and said: error: PULUMI_ACCESS_TOKEN must be set"
        )

    def test_no_cli_on_the_path_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(RolloutError, match="pulumi is not on PATH"):
            read_outputs(PulumiAccess(tmp_path), REGION)

    def test_a_cli_that_cannot_run_is_told(self, tmp_path: Path) -> None:
        pulumi = fake_pulumi(tmp_path, "")
        (tmp_path / "bin" / "pulumi").write_bytes(b"\x7fELF not really")

        with pytest.raises(RolloutError, match="cannot be run"):
            read_outputs(pulumi, REGION)
