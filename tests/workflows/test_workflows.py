"""What the linters do not know of these workflows: who may do what, in which order, and that what they call is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rollout.plan.verdicts import RULES
from stackfile.reader import load_stack_file
from tests.workflows.files import ACTIONS, GITHUB, REGION_ACTION, ROOT, WORKFLOWS, jobs, read, run_of, steps, workflow

STACKS = sorted(file.name.split(".")[1] for file in ROOT.glob("Pulumi.*.yaml"))
PULUMI_ACTION = "pulumi/actions@"
EVERY_REGION = {"region": "${{ fromJSON(needs.regions.outputs.names) }}"}


def commands() -> str:
    """All that is given to a shell, with lines that go on joined."""
    return "\n".join(str(step["run"]).replace("\\\n", " ") for step in steps() if "run" in step)


def used(action: str) -> list[dict[str, object]]:
    return [step["with"] for step in steps() if str(step.get("uses", "")).startswith(action)]


@pytest.mark.parametrize("file", [*WORKFLOWS, *ACTIONS], ids=lambda file: file.relative_to(GITHUB).as_posix())
def test_every_action_is_ours_or_pinned_by_commit_with_its_version_beside_it(file: Path) -> None:
    for line in file.read_text().splitlines():
        if "uses:" in line:
            assert re.fullmatch(r" *(- )?uses: (\./\.github/\S+|[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)", line)


def test_one_action_is_pinned_to_one_commit() -> None:
    pins = {step["uses"] for step in steps() if "@" in str(step.get("uses"))}
    assert len(pins) == len({str(pin).split("@")[0] for pin in pins})


def test_our_own_actions_and_workflows_are_there() -> None:
    called = [step["uses"] for step in steps() if "uses" in step] + [job["uses"] for _, job in jobs() if "uses" in job]
    own = {ROOT / use for use in called if use.startswith("./")}
    called_workflows = {GITHUB / "workflows" / name for name in ("region.yaml", "regions.yaml")}
    assert own == {action.parent for action in ACTIONS} | called_workflows


def test_nothing_is_permitted_but_what_a_job_asks_for() -> None:
    assert [file.name for file in WORKFLOWS if read(file)["permissions"] != {}] == []
    assert [name for name, job in jobs() if "permissions" not in job] == []


@pytest.mark.parametrize(
    ("permission", "who"),
    [
        ("contents: write", set()),
        ("pull-requests: write", {"pull-request.plan", "pull-request.preview"}),
        ("issues: write", {"drift.issue"}),
        ("id-token: write", {"pull-request.preview", "main.region", "region.up", "drift.look", "promote.region"}),
    ],
)
def test_only_these_jobs_may(permission: str, who: set[str]) -> None:
    scope, access = permission.split(": ")
    assert {name for name, job in jobs() if job["permissions"].get(scope) == access} == who


def test_no_job_may_more_than_read_comment_report_and_be_known() -> None:
    asked = {item for _, job in jobs() for item in job["permissions"].items()}
    reports = {("pull-requests", "write"), ("issues", "write")}
    assert asked == {("contents", "read"), ("actions", "read"), ("id-token", "write"), *reports}


def test_the_only_secret_is_the_key_by_which_a_promotion_pushes_in_an_environment() -> None:
    used_secrets = {
        (file.stem, name)
        for file in [*WORKFLOWS, *ACTIONS]
        for name in re.findall(r"\bsecrets\b(.*)", file.read_text())
    }
    assert used_secrets == {("promote", ".PROMOTE_KEY }}")}
    assert workflow("promote")["jobs"]["region"]["environment"] == "promote-${{ matrix.region }}"


def test_no_job_runs_for_ever() -> None:
    minutes = {name: job.get("timeout-minutes", 0) for name, job in jobs() if "uses" not in job}
    assert minutes.pop("promote.region") == 360, "a bake time may be hours"
    assert minutes.pop("drills.drills") == 90, "programs are built, then 20 faults wait for each other"
    assert [name for name, most in minutes.items() if not 0 < most <= 60] == []


def test_a_pull_request_only_previews_and_says_it_in_a_comment() -> None:
    preview = workflow("pull-request")["jobs"]["preview"]
    (pulumi,) = (step["with"] for step in preview["steps"] if step["uses"].startswith(PULUMI_ACTION))
    assert (pulumi["command"], pulumi["comment-on-pr"]) == ("preview", True)
    assert preview["strategy"]["matrix"] == EVERY_REGION


def test_who_only_looks_has_not_the_rights_of_an_update() -> None:
    teams = [
        {step["with"]["team"] for step in job.get("steps", ()) if step.get("uses", "").startswith("./")}
        for job in (
            workflow("pull-request")["jobs"]["preview"],
            workflow("drift")["jobs"]["look"],
            workflow("region")["jobs"]["up"],
            workflow("promote")["jobs"]["region"],
        )
    ]
    assert teams == [{"previewers"}, {"watchers"}, {"deployers"}, {"watchers"}]


def test_every_pulumi_run_has_the_policy_pack_and_the_pinned_version() -> None:
    (pinned,) = re.findall(r"^pulumi==(\S+)", (ROOT / "requirements.txt").read_text(), re.M)
    found = used(PULUMI_ACTION)
    assert [step["pulumi-version"] for step in found] == [pinned] * 5
    # without a command it installs the CLI alone, for what runs it by itself
    assert [step["policyPacks"] for step in found if "command" in step] == ["policies"] * 4
    assert "pulumi-version" in {
        key for step in workflow("promote")["jobs"]["region"]["steps"] for key in step.get("with", ())
    }
    assert (ROOT / "policies" / "PulumiPolicy.yaml").is_file()


def test_main_brings_the_regions_up_one_after_the_other() -> None:
    region = workflow("main")["jobs"]["region"]
    assert region["strategy"] == {"max-parallel": 1, "fail-fast": True, "matrix": EVERY_REGION}
    assert (region["needs"], region["with"], region.get("if")) == ("regions", {"region": "${{ matrix.region }}"}, None)


def test_a_promotion_goes_through_the_regions_one_after_the_other_and_reaches_all_of_them() -> None:
    region = workflow("promote")["jobs"]["region"]
    assert region["strategy"] == {"max-parallel": 1, "fail-fast": True, "matrix": EVERY_REGION}
    (reach,) = (step["with"]["regions"] for step in region["steps"] if step.get("uses") == "./.github/actions/region")
    assert reach == "${{ join(fromJSON(needs.regions.outputs.names), ' ') }}"


def test_every_region_that_has_a_stack_file_is_one(tmp_path: Path) -> None:
    """Three here, whatever the repository has."""
    for name in ("eu", "region-b", "us-1"):
        (tmp_path / f"Pulumi.{name}.yaml").touch()
    (tmp_path / "Pulumi.yaml").touch()
    output = tmp_path / "output"
    environment = {"PATH": os.environ["PATH"], "GITHUB_OUTPUT": str(output)}
    command = run_of("list", "Stack files", "regions")
    subprocess.run(["bash", "-e", "-c", command], cwd=tmp_path, env=environment, check=True)
    assert output.read_text() == 'names=["eu","region-b","us-1"]\n'
    assert workflow("regions")["jobs"]["list"]["outputs"] == {"names": "${{ steps.files.outputs.names }}"}


def test_a_region_is_judged_before_it_is_brought_up_and_measured_after() -> None:
    job = workflow("region")["jobs"]["up"]
    preview, up, verify = job["steps"][-3:]
    assert [step["with"]["command"] for step in (preview, up)] == ["preview", "up"]
    assert {**preview["with"], "command": "up"} == up["with"]
    assert 'rollout verify --region "$REGION" --commit "$GITHUB_SHA"' in verify["run"]
    assert not {"if", "continue-on-error"} & (preview.keys() | up.keys() | verify.keys())
    assert "continue-on-error" not in job


def test_drift_is_all_that_differs_from_main_in_each_region() -> None:
    look = workflow("drift")["jobs"]["look"]
    preview, status = look["steps"][-2:]
    assert look["strategy"] == {"fail-fast": False, "matrix": EVERY_REGION}
    assert [preview["with"][each] for each in ("command", "refresh", "expect-no-changes")] == ["preview", True, True]
    assert 'rollout status --region "$REGION"' in status["run"]
    assert "cancelled()" in status["if"], "also when the preview finds something"


def test_an_update_waits_for_the_one_before_and_is_not_cancelled_by_the_one_after() -> None:
    for name in ("main", "region", "promote"):
        assert workflow(name)["concurrency"]["cancel-in-progress"] is False
    assert "${{" not in workflow("main")["concurrency"]["group"]
    # nor does a promotion go on beside it
    assert workflow("promote")["concurrency"] == workflow("main")["concurrency"]


def test_only_commits_of_main_change_anything() -> None:
    triggers = {file.stem: read(file)["on"] for file in WORKFLOWS}
    assert triggers["main"] == {"push": {"branches": ["main"]}, "workflow_dispatch": None}
    assert triggers["pull-request"] == {"pull_request": None}
    assert set(triggers["region"]) == {"workflow_call", "workflow_dispatch"}
    assert set(triggers["drift"]) == set(triggers["drills"]) == {"schedule", "workflow_dispatch"}
    assert set(triggers["regions"]) == {"workflow_call"}
    assert set(triggers["promote"]) == {"workflow_dispatch"}
    assert set(triggers) == {"drift", "drills", "main", "promote", "pull-request", "region", "regions"}
    # a person may begin a workflow from any branch
    assert workflow("region")["jobs"]["up"]["if"] == "github.ref == 'refs/heads/main'"
    for name in ("drift", "promote"):
        assert all("github.ref == 'refs/heads/main'" in job["if"] for job in workflow(name)["jobs"].values())


def test_a_person_may_bring_up_every_region() -> None:
    (region,) = read(GITHUB / "workflows" / "region.yaml")["on"]["workflow_dispatch"]["inputs"].values()
    # each has one, and nobody lists them here
    assert (region["type"], region["required"]) == ("environment", True)


def test_owners_are_named_for_all_that_gives_a_verdict() -> None:
    lines = [line.split() for line in (GITHUB / "CODEOWNERS").read_text().splitlines() if line[:1] not in ("", "#")]
    # GitHub takes the last line that fits, and none of these is below another
    assert {path for path, *_ in lines} == {f"/{path}" for path in RULES}
    assert [
        path for path, *owners in lines if not all(re.fullmatch(r"@[\w-]+/[\w-]+", owner) for owner in owners)
    ] == []
    assert min(map(len, lines)) > 1


def test_an_update_is_a_deployment_to_its_region() -> None:
    assert workflow("region")["jobs"]["up"]["environment"] == "${{ inputs.region }}"


@pytest.mark.parametrize("stack", STACKS)
def test_a_kubeconfig_context_is_named_after_its_region(stack: str) -> None:
    assert load_stack_file(ROOT / f"Pulumi.{stack}.yaml").cluster.context == stack


def test_the_one_required_check_needs_all_others() -> None:
    chain = workflow("pull-request")["jobs"]
    assert set(chain["safe"]["needs"]) == set(chain) - {"safe"}
    assert chain["safe"]["if"] == "always()"


def test_every_make_target_is_there() -> None:
    targets = set(re.findall(r"(?<!\w)make (\w+)", commands()))
    assert targets == {"drills", "setup", "test"}
    makefile = (ROOT / "Makefile").read_text()
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.M)] == []


def test_every_environment_is_installed_whole() -> None:
    """Only `make setup` installs the generated package of sdks/ beside the requirements."""
    assert not re.search(r"(pip|pulumi) install", commands())
    for name, job in jobs():
        installed = False
        for step in job.get("steps", ()):
            run, uses = str(step.get("run", "")), str(step.get("uses", ""))
            installed |= uses == "./.github/actions/region" or bool(re.search(r"\bmake (-C \S+ )?setup\b", run))
            assert installed or not (".venv/" in run or uses.startswith(PULUMI_ACTION)), f"{name}: {step}"
    assert "make setup" in [step.get("run") for step in read(REGION_ACTION / "action.yaml")["runs"]["steps"]]


def test_every_rollout_command_has_its_options() -> None:
    called = re.findall(r"-m rollout (\w+)([^\n>|&]*)", commands())
    assert {verb for verb, _ in called} == {"plan", "verify", "status", "promote"}
    for verb, arguments in called:
        # on a narrow terminal an option may be cut
        answer = subprocess.run(
            [sys.executable, "-m", "rollout", verb, "--help"],
            cwd=ROOT,
            env={"COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        assert set(re.findall(r"--[a-z-]+", arguments)) <= set(re.findall(r"--[a-z-]+", answer.stdout))


def test_python_and_go_are_the_ones_that_the_project_asks_for() -> None:
    (python,) = re.findall(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert {step["python-version"] for step in used("actions/setup-python@")} == {python}
    assert [(ROOT / str(step["go-version-file"])).is_file() for step in used("actions/setup-go@")] == [True]


def test_what_is_to_be_set_up_is_what_the_workflows_use() -> None:
    used_variables = {name for file in WORKFLOWS for name in re.findall(r"vars\.(\w+)", file.read_text())}
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "workflows.md").read_text(), re.M))
    assert documented == used_variables == set(read(GITHUB / "actionlint.yaml")["config-variables"])


def test_every_set_of_drills_is_run_by_itself() -> None:
    (job,) = workflow("drills")["jobs"].values()
    unknown = subprocess.run(["make", "drills", "SET=none"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    assert unknown.stderr.partition("The sets are: ")[2].splitlines()[0].split() == job["strategy"]["matrix"]["set"]
