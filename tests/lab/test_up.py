"""What a lab brings up beside the program, as the stack files say."""

from __future__ import annotations

from pathlib import Path

from lab.place import CHECKOUT, Lab
from lab.up import scraped_regions


def test_a_region_has_a_prometheus_where_its_stack_file_names_one_by_its_service(tmp_path: Path) -> None:
    metrics = {
        "region-a": "{service: monitoring/prometheus:9090}",
        "region-b": '{address: "https://prometheus.corp.local"}',
    }
    for region, where in metrics.items():
        committed = (CHECKOUT / f"Pulumi.{region}.yaml").read_text()
        (tmp_path / f"Pulumi.{region}.yaml").write_text(f"{committed}  echo-rollout:metrics: {{prometheus: {where}}}\n")

    assert scraped_regions(Lab(tmp_path, tmp_path / ".lab", tmp_path)) == {"region-a"}
    assert scraped_regions(Lab(CHECKOUT, tmp_path / ".lab", tmp_path)) == set()
