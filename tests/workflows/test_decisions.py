"""What the steps of workflows decide: their very lines, run by bash as GitHub runs them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.workflows.files import run_of

MARKER = "<!-- plan -->"


def shell(lines: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {"PATH": os.environ["PATH"], "RUNNER_TEMP": str(folder), **environment}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", lines]
    return subprocess.run(command, cwd=folder, env=known, capture_output=True, text=True, check=False)


def program(path: Path, lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{lines}\n")
    path.chmod(0o755)


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    """A checkout as GitHub gives it for a pull request: the merge of the branch into main, which went on since."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    identity = "-c user.name=one -c user.email=one@corp.local"
    done = shell(
        f'git init -q -b main . && commit() {{ git {identity} commit -q --allow-empty -m "$1"; }}'
        " && commit begun && git checkout -q -b branch && commit change && git checkout -q main && commit else"
        f" && git {identity} merge -q --no-ff -m merged branch",
        checkout,
    )
    assert done.returncode == 0, done.stderr
    return checkout


def write(checkout: Path, path: str) -> None:
    """Has the pull request change a file as well."""
    (checkout / path).parent.mkdir(parents=True, exist_ok=True)
    (checkout / path).write_text("changed\n")
    identity = "-c user.name=one -c user.email=one@corp.local"
    done = shell(f"git add --all . && git {identity} commit -q --amend --no-edit", checkout)
    assert done.returncode == 0, done.stderr


def decide(checkout: Path, code: int, plan: str, own: str | None = "{}") -> subprocess.CompletedProcess[str]:
    """The plan and then the verdict, with a `rollout plan` of the base that prints this and ends so.

    That of the change prints `own`; None where it cannot even be installed. What they were called with is in `called`.
    """
    folder = checkout.parent
    installed = folder / "bin" / "make"
    # `make -C base setup` or, in the change's own checkout, `make setup`
    program(installed, f'[ "$1" = -C ] || {"true" if own is not None else "false"}')
    lines = f"""if [ "$1" = -c ]; then echo rules/ components/; exit; fi
if [[ "$*" == *--json* ]]; then echo "own $@" >> {folder}/called; printf '%s' '{own}'; exit 2; fi
echo "base $@" >> {folder}/called; pwd > {folder}/where; printf '%s' '{plan}'; exit {code}"""
    known = {"PATH": f"{installed.parent}:{os.environ['PATH']}", "RUNNER_TEMP": str(folder)}
    begun = shell(run_of("plan", "Install the base"), checkout, **known)
    assert begun.returncode == 0, begun.stderr
    for place in (folder / "base", checkout):
        program(place / ".venv" / "bin" / "python", lines)
    output, summary = folder / "output", folder / "summary"
    known |= {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_WORKSPACE": str(checkout)}
    planned = shell(run_of("plan", "Plan"), checkout, **known)
    assert planned.returncode == 0, planned.stderr
    assert summary.read_text() == plan
    name, said = output.read_text().strip().split("=")
    assert name == "code"
    return shell(run_of("plan", "Verdict"), folder, CODE=said)


def called(checkout: Path) -> list[str]:
    return (checkout.parent / "called").read_text().splitlines()


def test_a_plan_without_findings_passes(merged: Path) -> None:
    done = decide(merged, 0, MARKER)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("code", [1, 3])
def test_warnings_and_what_is_for_the_owners_pass_and_are_shown(code: int, merged: Path) -> None:
    done = decide(merged, code, MARKER)
    assert done.returncode == 0
    assert done.stdout.startswith("::warning ")


@pytest.mark.parametrize("code", [2, 130])
def test_what_is_refused_fails(code: int, merged: Path) -> None:
    assert decide(merged, code, MARKER).returncode == code


def test_a_crash_is_not_a_warning(merged: Path) -> None:
    assert decide(merged, 1, "").returncode == 1


def test_the_base_plans_what_merging_changes_now(merged: Path) -> None:
    decide(merged, 0, MARKER)
    main, merge = shell("git rev-parse main^1 main", merged).stdout.split()
    assert called(merged) == [f"base -m rollout plan --base {main} --head {merge} --markdown"]
    base = (merged.parent / "where").read_text().strip()
    assert shell("git rev-parse HEAD", Path(base)).stdout.split() == [main]


@pytest.mark.parametrize("path", ["deploy/vs.yaml", "docs/rules/one.md", "Pulumi.region-a.yaml"])
def test_code_of_a_change_that_touches_no_rule_does_not_plan(path: str, merged: Path) -> None:
    write(merged, path)
    decide(merged, 0, MARKER)
    assert [line.split()[0] for line in called(merged)] == ["base"]


@pytest.mark.parametrize("own", ['{"verdict": "safe"}', "", None])
def test_a_change_of_the_rules_is_judged_by_both(own: str | None, merged: Path) -> None:
    write(merged, "rules/one.py")
    decide(merged, 0, MARKER, own)
    change = f"--base {shell('git rev-parse main^1', merged).stdout.strip()} --head "
    change += shell("git rev-parse main", merged).stdout.strip()
    file = merged.parent / "own.json"
    ours = [f"own -m rollout plan {change} --json"] if own is not None else []
    assert called(merged) == [*ours, f"base -m rollout plan {change} --against {file} --markdown"]
    assert file.read_text() == (own or "")


@pytest.mark.parametrize(
    ("required", "mistakes", "passes"), [("true", "0", True), ("false", "0", False), ("true", "2", False)]
)
def test_what_only_its_own_rules_accept_needs_a_ruleset_and_owners(
    required: str, mistakes: str, passes: bool, tmp_path: Path
) -> None:
    program(
        tmp_path / "bin" / "gh",
        f'case "$2" in */rules/branches/main) echo {required};; */codeowners/errors?ref=main) echo {mistakes};; esac',
    )
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = shell(run_of("plan", "Owners"), tmp_path, PATH=path, GITHUB_REPOSITORY="corp/echo", BRANCH="main")
    assert (done.returncode == 0) is passes, done.stderr
    assert done.stdout.startswith("::error title=rollout plan::") is not passes


def comment(folder: Path, earlier: str) -> list[str]:
    """What the comment's step asks of GitHub after it has looked, where these are the ids of its earlier comments."""
    program(
        folder / "bin" / "gh",
        'if [[ "$*" == *--paginate* ]]; then printf "%s" "$EARLIER"; else echo "$@" >> asked; fi',
    )
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    done = shell(
        run_of("plan", "Comment"), folder, PATH=path, EARLIER=earlier, GITHUB_REPOSITORY="corp/echo", NUMBER="7"
    )
    assert done.returncode == 0, done.stderr
    asked = folder / "asked"
    return asked.read_text().splitlines() if asked.exists() else []


def test_the_first_plan_is_a_new_comment(tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text(MARKER)
    (asked,) = comment(tmp_path, "")
    assert "--method POST repos/corp/echo/issues/7/comments" in asked
    assert f"body=@{tmp_path}/plan.md" in asked


def test_a_later_plan_takes_the_place_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text(MARKER)
    (asked,) = comment(tmp_path, "41\n42\n")
    assert "--method PATCH repos/corp/echo/issues/comments/41" in asked


def test_no_plan_is_no_comment(tmp_path: Path) -> None:
    (tmp_path / "plan.md").touch()
    assert comment(tmp_path, "") == []


@pytest.mark.parametrize(
    ("own", "results", "passes"),
    [
        ("true", "success success success", True),
        ("true", "failure success success", False),
        ("true", "success failure success", False),
        ("true", "success success failure", False),
        ("true", "success success skipped", False),
        ("true", "success cancelled success", False),
        ("false", "success success skipped", True),
        ("false", "success failure skipped", False),
        ("false", "failure success skipped", False),
    ],
)
def test_a_pull_request_is_safe_if_all_went_well(own: str, results: str, passes: bool, tmp_path: Path) -> None:
    test, plan, preview = results.split()
    done = shell(run_of("safe", "All of it went well"), tmp_path, OWN=own, TEST=test, PLAN=plan, PREVIEW=preview)
    assert (done.returncode == 0) == passes
    assert ("::notice title=no preview::" in done.stdout) == (own == "false")


def drift(folder: Path, result: str, number: str) -> list[str]:
    """What the drift's step asks of GitHub to change, where this is the issue of an earlier run."""
    program(
        folder / "bin" / "gh",
        'case "$*" in *state=open*) printf "%s" "$OPEN";; */jobs*) echo "- [region-b](https://job)";; '
        '*) echo "$@" >> asked;; esac',
    )
    environment = {"GITHUB_REPOSITORY": "corp/echo", "GITHUB_RUN_ID": "9", "RUN": "https://run", "RESULT": result}
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    done = shell(run_of("issue", "One issue", "drift"), folder, PATH=path, OPEN=number, **environment)
    assert done.returncode == 0, done.stderr
    asked = folder / "asked"
    return asked.read_text().splitlines() if asked.exists() else []


def test_drift_opens_an_issue_that_names_the_regions(tmp_path: Path) -> None:
    (asked,) = drift(tmp_path, "failure", "")
    assert "--method POST repos/corp/echo/issues " in asked
    text = (tmp_path / "issue.md").read_text()
    assert text.startswith("<!-- drift -->\n")
    assert "- [region-b](https://job)" in text
    assert "https://run" in text


def test_drift_that_goes_on_writes_the_same_issue_anew(tmp_path: Path) -> None:
    (asked,) = drift(tmp_path, "failure", "41\n")
    assert "--method PATCH repos/corp/echo/issues/41 --field body=@" in asked


def test_the_issue_closes_when_there_is_no_drift(tmp_path: Path) -> None:
    told, closed = drift(tmp_path, "success", "41\n")
    assert "--method POST repos/corp/echo/issues/41/comments" in told
    assert "--method PATCH repos/corp/echo/issues/41 --field state=closed" in closed


def test_without_drift_and_issue_nothing_is_said(tmp_path: Path) -> None:
    assert drift(tmp_path, "success", "") == []


def record(state: str, region: str, version: str = "v2", service: str = "shop") -> str:
    """The message of a promotion's commit."""
    trailers = {"Service": service, "Version": version, "State": state, "Region": region}
    return "Promote\n\n" + "\n".join(f"Rollout-{name}: {value}" for name, value in trailers.items())


def promote(
    folder: Path, region: str, *before: str, ends: str = "", code: int = 0, steps: str = "10,100"
) -> subprocess.CompletedProcess[str]:
    """A region's job of a promotion of shop v2 through the regions a, b and c, in a checkout that has commits with these messages.

    Its `rollout promote` makes a commit with the message `ends`, if there is one, and ends with `code`.
    """
    commit = "git -c user.name=one -c user.email=one@corp.local commit -q --allow-empty -m"
    begun = shell("git init -q .", folder)
    for text in ("Begin", *before):
        begun = shell(f'{commit} "$TEXT"', folder, TEXT=text)
        assert begun.returncode == 0, begun.stderr
    program(folder / "bin" / "pulumi", 'echo "pulumi $@" >> asked')
    made = f'{commit} "$ENDS"\n' if ends else ""
    program(folder / ".venv" / "bin" / "python", f'echo "$@" >> asked\n{made}echo "the table"; exit {code}')
    inputs = {"SERVICE": "shop", "VERSION": "v2", "STEPS": steps, "BAKE": "2m", "REGION": region, "REGIONS": "a b c"}
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    known = {"PATH": path, "ORGANIZATION": "corp", "ENDS": ends, "GITHUB_STEP_SUMMARY": str(folder / "summary")}
    return shell(run_of("region", "Promote", "promote"), folder, **inputs, **known)


BEGUN = "v2 --steps 10,100 --bake 2m"


@pytest.mark.parametrize(
    ("region", "before", "how"),
    [
        ("a", [], BEGUN),
        ("a", [record("done", "c")], BEGUN),
        ("a", [record("rolled back", "b")], BEGUN),
        # another version's: that is for rollout to refuse
        ("a", [record("in progress", "a", version="v3")], BEGUN),
        ("a", [record("in progress", "b", service="other")], BEGUN),
        # a run that was lost
        ("a", [record("in progress", "a")], "--resume"),
        ("a", [record("in progress", "c"), "Somebody's"], "--resume"),
        ("b", [record("in progress", "a")], "--resume"),
        ("c", [record("in progress", "b")], "--resume"),
        ("c", [record("in progress", "c")], "--resume"),
        # taken back while a person was asked: nothing is in progress, and rollout says so
        ("b", [record("in progress", "a"), record("rolled back", "a")], "--resume"),
    ],
)
def test_a_promotion_begins_in_the_first_region_alone_and_goes_on_elsewhere(
    region: str, before: list[str], how: str, tmp_path: Path
) -> None:
    done = promote(tmp_path, region, *before)
    assert (done.returncode, done.stdout) == (0, "the table\n"), done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["pulumi org set-default corp", f"-m rollout promote {how} --service shop --until-region {region}"]


def test_what_is_left_out_is_left_to_rollout(tmp_path: Path) -> None:
    promote(tmp_path, "a", steps="")
    assert "promote v2 --bake 2m --service shop --until-region a\n" in (tmp_path / "asked").read_text()


def test_a_job_that_was_let_in_too_early_takes_no_step_for_another_region(tmp_path: Path) -> None:
    done = promote(tmp_path, "c", record("in progress", "a"))
    assert done.returncode == 2
    assert done.stdout.startswith("::error title=rollout promote::shop is at v2 in progress in a: ")
    assert "rollout" not in (tmp_path / "asked").read_text()


def test_while_a_person_is_asked_it_says_that_nobody_watches(tmp_path: Path) -> None:
    promote(tmp_path, "a", ends=record("in progress", "a"))
    summary = (tmp_path / "summary").read_text()
    assert summary.startswith(
        "```\nthe table\n```\n**Nothing watches the regions now: shop is at v2 in progress in a.**"
    )
    assert "rollout rollback --service shop" in summary


@pytest.mark.parametrize(("state", "code"), [("done", 0), ("rolled back", 1)])
def test_when_it_is_over_the_summary_has_the_table_alone(state: str, code: int, tmp_path: Path) -> None:
    done = promote(tmp_path, "c", record("in progress", "b"), ends=record(state, "c"), code=code)
    assert done.returncode == code
    assert (tmp_path / "summary").read_text() == "```\nthe table\n```\n"
