"""Where a change touches the rules, the base's and its own both judge it, and every difference is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result as Ran

from rollout.plan.verdicts import FOR_OWNERS, RULES
from tests.rollout.comment import raise_too_far, without_rule
from tests.rollout.planned import Project, new_planned, plan, plan_json
from tests.rollout.stack_files import ROOT

LIMIT = "increase-limited"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = new_planned(tmp_path / "project")
    monkeypatch.chdir(made.directory)
    return made


def judged(document: dict[str, Any] | str, *arguments: str) -> Ran:
    file = Path("own.json")
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return plan("--against", str(file), *arguments)


def differences(ran: Ran) -> list[str]:
    return [line.strip() for line in ran.stdout.splitlines() if line.strip().startswith("only the ")]


def test_rules_that_say_the_same_change_nothing(project: Project) -> None:
    project.weigh(v1=75, v2=25)

    ran = judged(plan_json())

    assert ran.exit_code == 0
    assert ran.stdout.splitlines()[-1] == "Both say the same."


def test_a_refusal_of_the_bases_rules_alone_is_for_the_owners(project: Project) -> None:
    raise_too_far(project)

    ran = judged(without_rule(plan_json(), LIMIT))

    assert ran.exit_code == FOR_OWNERS
    (difference,) = differences(ran)
    assert difference.startswith("only the base's rules: refused: region-a: VirtualService echo/echo: ")
    assert difference.endswith(f"[{LIMIT}]")
    assert "the owners of the rules decide" in ran.stdout.splitlines()[-1]


def test_a_change_that_its_own_rules_refuse_is_refused(project: Project) -> None:
    raise_too_far(project)
    own = plan_json()
    project.weigh(v1=75, v2=25)

    ran = judged(own)

    assert ran.exit_code == 2
    assert any(line.startswith("only the change's own rules: refused: region-a: ") for line in differences(ran))


def test_a_change_that_both_refuse_is_refused(project: Project) -> None:
    raise_too_far(project)

    assert judged(plan_json()).exit_code == 2


def test_a_difference_of_warnings_warns(project: Project) -> None:
    own = plan_json()
    warning = {"severity": "warning", "region": "region-a", "where": "x", "what": "y", "rule": "z"}

    ran = judged(own | {"verdict": "warning", "findings": [warning]})

    assert (ran.exit_code, differences(ran)) == (1, ["only the change's own rules: warning: region-a: x: y [z]"])


def test_a_region_that_only_one_of_them_sees_change_is_told(project: Project) -> None:
    own = plan_json()
    project.weigh(v1=75, v2=25)

    ran = judged(own)

    assert ran.exit_code == 1
    assert differences(ran) == [
        "only the base's rules: region-a, echo: changed, order: safe",
        "only the change's own rules: region-a, echo: unchanged",
    ]


def test_a_plan_from_before_there_were_several_services_is_of_echo(project: Project) -> None:
    own = plan_json()
    for region in own["regions"]:
        del region["service"]

    assert differences(judged(own)) == []


@pytest.mark.parametrize("own", ["", "Traceback", "{}", '{"verdict": "fine"}', '{"verdict": "safe", "findings": 1}'])
def test_rules_that_come_to_no_verdict_refuse(project: Project, own: str) -> None:
    ran = judged(own)

    assert ran.exit_code == 2
    assert "they give no verdict" in ran.stdout


def test_what_the_bases_rules_cannot_read_is_for_the_owners(project: Project) -> None:
    own = plan_json()
    project.replace("region-a", "weight: 90", "weight: 90, colour: red")

    ran = judged(own, "--markdown")

    assert ran.exit_code == FOR_OWNERS
    assert "colour" in next(line for line in differences(ran) if line.endswith("[not-judged]"))
    assert "colour" in ran.stderr


def test_wrong_usage_is_for_nobody_to_approve(project: Project) -> None:
    own = plan_json()

    assert judged(own, "v2").exit_code == judged(own, "--json", "--markdown").exit_code == 2
    assert plan("--against", "missing.json").exit_code == 2


def test_json_stays_json(project: Project) -> None:
    raise_too_far(project)
    own = without_rule(plan_json(), LIMIT)

    ran = judged(own, "--json")

    assert json.loads(ran.stdout)["verdict"] == "refused"
    assert LIMIT in ran.stderr


def test_in_a_comment_it_is_a_block_of_code(project: Project) -> None:
    own = plan_json()
    text = "```\n</details> @team\n### safe"
    finding = {"severity": "warning", "region": text, "where": text, "what": text, "rule": text}

    ran = judged(own | {"verdict": "warning", "findings": [finding]}, "--markdown")

    _, _, block = ran.stdout.partition("### Both sets of rules\n\n")
    assert "@team" in block
    assert [line for line in block.splitlines() if not line.startswith("    ")] == []


def test_what_a_plan_is_made_of_counts_as_rules() -> None:
    """Else a change of it would be judged by the base alone, and need no owner."""
    code = """
import sys
import rollout.plan.plan, rollout.plan.report, rollout.plan.verdicts
print(*(module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)), sep="\\n")
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    files = {Path(line) for line in ran.stdout.splitlines()}
    own = {
        file.relative_to(ROOT).as_posix() for file in files if file.is_relative_to(ROOT) and ".venv" not in file.parts
    }

    assert "rules/judgement.py" in own
    # values, threads and the record of a promotion, which no verdict depends on
    assert {path for path in own if not path.startswith(RULES)} <= {
        "rollout/__init__.py",
        "rollout/access.py",
        "rollout/answers.py",
        "rollout/measurement.py",
        "rollout/terms.py",
        *(path for path in own if path.startswith("rollout/judge/")),
    }


def test_what_counts_as_rules_is_there() -> None:
    assert [path for path in RULES if not (ROOT / path).exists()] == []
