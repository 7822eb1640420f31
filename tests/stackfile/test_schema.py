"""An editor that checks by an old schema underlines what is right, and lets pass what `pulumi preview` will refuse."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from rules import catalogue
from stackfile import schema
from stackfile.schema import SCHEMA_FILE, main, stack_file_schema, stack_file_text
from tests.components.graph import STACK_FILES
from tests.stackfile.stack_values import MINIMAL, with_value

SCHEMA = stack_file_schema()
VALIDATOR = Draft7Validator(SCHEMA)
READ = YAML(typ="safe", pure=True)


def file_of(values: dict[str, Any], **top: Any) -> dict[str, Any]:
    return {"config": {f"echo-rollout:{key}": value for key, value in values.items()}, **top}


def accepts(document: object) -> bool:
    return bool(VALIDATOR.is_valid(document))


def patterns(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "pattern" and isinstance(value, str))
        yield from part.get("patternProperties", ())
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from patterns(inner)


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text() == stack_file_text()


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("stack_file", STACK_FILES, ids=lambda path: path.stem)
def test_a_shipped_stack_file_names_it_and_is_accepted(stack_file: Path) -> None:
    assert stack_file.read_text().startswith(f"# yaml-language-server: $schema={SCHEMA_FILE.name}\n")
    assert [error.message for error in VALIDATOR.iter_errors(READ.load(stack_file))] == []


@pytest.mark.parametrize(
    "document",
    [
        file_of(MINIMAL),
        {"config": MINIMAL},
        file_of({**MINIMAL, "istio": None, "rules": None, "region": None}),
        file_of(with_value("services.echo.maxEjectionPercent", None)),
        file_of(with_value("argocd.imagePullPolicy", None)),
        file_of(with_value("services.echo.versions.v1.weight", 90.0)),
        file_of(with_value("services.echo.versionHeader", "")),
        file_of(with_value("services.echo.resources.limits", {"cpu": 1, "memory": "64Mi"})),
        file_of(with_value("services.echo.versions.v1.configMaps", {"/etc/nginx": "nginx-1"})),
        file_of(with_value("istio.values", {"anything": [1, {"else": None}]})),
        file_of(with_value("rules.waived", dict.fromkeys(catalogue.waivable_ids(), "nobody uses it"))),
        file_of(MINIMAL, encryptionsalt="v1:x", secretsprovider="passphrase", environment=["lab"]),
        {"config": {**file_of(MINIMAL)["config"], "kubernetes:context": "x"}},
    ],
)
def test_what_the_program_accepts_is_accepted(document: dict[str, Any]) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("services.echo.versions.v1.weight", 110),
        ("services.echo.versions.v1.weight", "90"),
        ("services.echo.versions.v1.weight", 9.5),
        ("services.echo.versions.v1.weight", None),
        ("services.echo.versions.v1.wieght", 90),
        ("services.echo.versions.V1", {"image": "echo:1", "replicas": 1, "weight": 0}),
        ("services.echo.versions.v3", {"replicas": 1, "weight": 0}),
        ("services.echo.versions.v1.image", "registry.corp.local/echo:latest"),
        ("services.echo.versions.v1.image", "registry.corp.local/echo"),
        ("services.echo.maxEjectionPercent", 0),
        ("services.echo.max_ejection_percent", 34),
        ("services.echo.outlierDetection.interval", "5"),
        ("services.echo.outlierDetection.consecutive5xxErrors", -1),
        ("services.echo.stable", "V1"),
        ("services.Shop", MINIMAL["services"]["echo"]),
        ("services.echo.versionHeader", "X-Version"),
        ("services.echo.resources.limits.cpu", "lots"),
        ("services.echo.resources.limits.cpu", 1.5),
        ("services.echo.drain.by", "hope"),
        ("services.echo.versions.v1.configMaps", {"etc": "nginx-1"}),
        ("services.echo.versions.v1.testers", "no"),
        ("mesh.network", "network_a"),
        ("istio.version", ">=1.31"),
        ("istio.charts", "https://user:password@charts.corp.local"),
        ("delivery", "pigeon"),
        ("argocd.cascade", "yes"),
        ("repository.url", "https://token@git.corp.local/a.git"),
        ("rules.largestIncrease", 0),
        ("rules.immutableTags", "v1"),
        ("rules.mayDiffer", ["**"]),
        ("rules.waived", {"weights-sum": "no such rule"}),
        ("rules.waived", {"weights-sum-100": ""}),
        ("prob", {"image": "probe:1"}),
    ],
)
def test_what_the_program_refuses_is_refused(path: str, value: object) -> None:
    assert not accepts(file_of(with_value(path, value)))


@pytest.mark.parametrize("key", ["cluster", "mesh", "services", "probe"])
def test_a_missing_part_is_refused(key: str) -> None:
    assert not accepts(file_of({name: value for name, value in MINIMAL.items() if name != key}))


@pytest.mark.parametrize("top", [{"confg": {}}, {"encryptionSalt": "v1:x"}, {"echo": {}}])
def test_a_key_that_pulumi_would_pass_over_is_refused(top: dict[str, Any]) -> None:
    assert not accepts(file_of(MINIMAL, **top))


def test_every_key_says_what_belongs_there() -> None:
    parts = [part["properties"] for part in copy.deepcopy(SCHEMA["definitions"]).values()]
    assert [key for part in parts for key, value in part.items() if not value.get("description")] == []


def test_patterns_hold_for_the_whole_value_and_have_nothing_that_only_python_knows() -> None:
    found = set(patterns(SCHEMA))
    assert len(found) > 10
    assert [one for one in found if not one.startswith("^")] == []
    assert [one for one in found for python in ("(?P", "(?<", "\\A", "\\Z", "(?i", "(?x") if python in one] == []


# --- the command


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stack-file.schema.json"
    monkeypatch.setattr(schema, "SCHEMA_FILE", path)
    return path


def test_the_command_writes_the_schema(committed: Path) -> None:
    assert main([]) == 0
    assert json.loads(committed.read_text()) == SCHEMA


def test_a_current_schema_passes_the_check(committed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert main(["--check"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("spoil", [lambda text: text.replace("1000", "999", 1), lambda _: None])
def test_a_stale_schema_fails_the_check_with_the_difference(
    committed: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[str], str | None]
) -> None:
    before = spoil(stack_file_text())
    if before is not None:
        committed.write_text(before)
    assert main(["--check"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("--- stack-file.schema.json\n+++ stack-file.schema.json\n@@ ")
    assert "run `python -m stackfile.schema`" in err
    assert (committed.read_text() if committed.exists() else None) == before
