"""What loses requests stops a preview and an update by its rule, on Pulumi's graph and in the overlay that Argo CD reads."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.drills import mostly_drills
from tests.e2e.laboratory import REGIONS, Laboratory

_PACK = "--policy-pack=policies"
_RULE = "        before = rule.register(pulumi.ResourceOptions(parent=self))\n"
_DEPENDENCY = ", depends_on=[before]"
_OVERLAY = Path("deploy/overlays/region-a/echo")


def _preview(lab: Laboratory, region: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return lab.pulumi("preview", "--stack", region, "--non-interactive", *flags, check=False)


def _up(lab: Laboratory, region: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return lab.pulumi("up", "--stack", region, "--yes", "--non-interactive", *flags, check=False)


@contextmanager
def _with(lab: Laboratory, file: Path, old: str, new: str) -> Iterator[None]:
    """Write something else into a file of the checkout while a block runs."""
    path = lab.place.checkout / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    try:
        yield
    finally:
        path.write_text(text)


def _refused(result: subprocess.CompletedProcess[str], rule: str, mend: str) -> str:
    """What a run says that stopped at a rule: the rule's id, and what to do."""
    said = " ".join((result.stdout + result.stderr).split())
    assert result.returncode != 0, said
    assert f"[{rule}]" in said, said
    assert mend in said, said
    assert "Traceback" not in said
    return said


def _deliver(lab: Laboratory, region: str, way: str) -> None:
    def change(config: Any) -> None:
        config["echo-rollout:delivery"] = way

    lab.edit(region, change)
    result = _up(lab, region, _PACK)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def direct(lab: Laboratory) -> Iterator[str]:
    """A region whose workloads Pulumi applies, handed over for these tests and handed back after them, past the pack."""
    with lab.restored():
        try:
            for way in ("handover", "direct"):
                _deliver(lab, "region-b", way)
            yield "region-b"
        finally:
            for way in ("handover", "gitops"):
                _deliver(lab, "region-b", way)


@pytest.mark.parametrize("region", mostly_drills(REGIONS, "region-a"))
def test_the_committed_regions_pass(lab: Laboratory, region: str) -> None:
    result = _preview(lab, region, _PACK)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "echo-rollout@v" in result.stdout


def test_a_broken_route_in_the_overlay_stops_the_preview_and_the_update(lab: Laboratory) -> None:
    with _with(lab, _OVERLAY / "vs.yaml", "subset: v2", "subset: v3"):
        for result in (_preview(lab, "region-a", _PACK), _up(lab, "region-a", _PACK)):
            said = _refused(result, "routed-subset-exists", "add the subset to the DestinationRule")
            assert "region-a: VirtualService echo/echo: spec.http[0].route[1].destination.subset: v3" in said


@pytest.mark.drill
def test_a_waiver_which_only_the_stack_file_tells_is_heard(lab: Laboratory) -> None:
    waived = "  echo-rollout:rules: {waived: {waves-in-order: a drill}}\n"
    probe = "  echo-rollout:probe:\n"
    with _with(lab, _OVERLAY / "vs.yaml", "sync-wave: '2'", "sync-wave: '1'"):
        _refused(_preview(lab, "region-a", _PACK), "waves-in-order", "rollout render")
        with _with(lab, Path("Pulumi.region-a.yaml"), probe, waived + probe):
            result = _preview(lab, "region-a", _PACK)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "[waves-in-order]" in result.stdout


@pytest.mark.drill
def test_what_pulumi_itself_applies_passes(lab: Laboratory, direct: str) -> None:
    result = _preview(lab, direct, _PACK)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.drill
def test_routes_whose_subsets_are_gone_stop_the_preview_and_the_update_and_all_stays(
    lab: Laboratory, direct: str
) -> None:
    traffic = Path("components/traffic.py")
    with _with(lab, traffic, _RULE, ""), _with(lab, traffic, _DEPENDENCY, ""):
        for result in (_preview(lab, direct, _PACK), _up(lab, direct, _PACK)):
            said = _refused(result, "routed-subset-exists", "add the subset to the DestinationRule")
            assert f"{direct}: VirtualService echo/echo: spec.http[0].route[1].destination.subset: v2" in said
    rule = lab.get(direct, "destinationrule/echo", "--namespace=echo")
    assert [subset["name"] for subset in rule["spec"]["subsets"]] == ["v1", "v2"]


@pytest.mark.drill
def test_routes_without_their_dependency_stop_the_preview(lab: Laboratory, direct: str) -> None:
    with _with(lab, Path("components/traffic.py"), _DEPENDENCY, ""):
        _refused(_preview(lab, direct, _PACK), "applied-in-order", "components/traffic.py")
