"""The whole command in a process of its own, against two fake clusters and a fake `pulumi`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

import rollout
from tests.rollout.answers import drawn, line, ok
from tests.rollout.cluster.applications import well
from tests.rollout.cluster.fake_cluster import STDOUT, SUCCESS, Exec, FakeCluster, serving
from tests.rollout.repository import new_repository

CHECKOUT = Path(rollout.__file__).parents[1]
TIMEOUT_SECONDS = 60
_ALL_PODS = "/api/v1/pods"
_ROUTES = "/apis/networking.istio.io/v1/namespaces/echo/virtualservices"
REGIONS = ("region-a", "region-b")


@dataclass
class Lab:
    directory: Path
    clusters: dict[str, FakeCluster]

    def write_pulumi(self, **outputs: object) -> None:
        """A `pulumi` that knows these outputs of echo in every stack."""
        echo = {"weights": {"v1": 90, "v2": 10}, "url": "http://echo/", "namespace": "echo", "port": 80, **outputs}
        all_outputs = json.dumps({"region": "REGION", "services": {"echo": echo}})
        program = self.directory / "bin" / "pulumi"
        program.write_text(f"#!/bin/sh\nfor stack; do :; done; echo '{all_outputs}' | sed s/REGION/$stack/\n")
        program.chmod(0o755)

    def route(self, weights: Mapping[str, int]) -> None:
        """Both clusters split the requests of echo so."""
        destinations = [{"destination": {"subset": name}, "weight": weight} for name, weight in weights.items()]
        metadata = {"namespace": "echo", "name": "echo", "generation": 1}
        for cluster in self.clusters.values():
            cluster.lists[_ROUTES] = [{"metadata": metadata, "spec": {"http": [{"route": destinations}]}}]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "rollout", "verify", *arguments],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    clusters = {region: FakeCluster(lists={_ALL_PODS: []}) for region in REGIONS}
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: echo-rollout\n")
    with ExitStack() as serving_all:
        regions = {
            region: {
                "context": region,
                "kubeconfig": str(
                    cluster.kubeconfig(
                        tmp_path / f"{region}.kubeconfig", region, serving_all.enter_context(serving(cluster))
                    )
                ),
            }
            for region, cluster in clusters.items()
        }
        (tmp_path / ".regions.yaml").write_text(json.dumps({"regions": regions, "pulumi": {"path": str(binaries)}}))
        lab = Lab(tmp_path, clusters)
        lab.write_pulumi()
        lab.route({"v1": 90, "v2": 10})
        yield lab


def answering(region: str, counts: Mapping[str, int]) -> Callable[[Exec], None]:
    """A probe that gets so many answers of each version, by lot; whoever asks may leave before the end."""
    answers = [line(answer) for answer in drawn(counts, region)]

    def script(exec_: Exec) -> None:
        with suppress(OSError):
            for start in range(0, len(answers), 100):
                exec_.send(STDOUT, b"".join(answers[start : start + 100]))
            exec_.end(SUCCESS)

    return script


def test_two_regions_that_hold_what_argo_cd_synced_end_with_a_table_and_0(lab: Lab) -> None:
    repository = new_repository(lab.directory)
    synced = repository.commit_weights(75, 25)
    repository.commit_weights(50, 50)
    lab.write_pulumi(application="argocd/echo")
    lab.route({"v1": 75, "v2": 25})
    for region, cluster in lab.clusters.items():
        cluster.applications["argocd/echo"] = well(synced)
        cluster.script = answering(region, {"v1": 15_000, "v2": 5_000})

    process = lab.start()
    stdout, stderr = process.communicate(timeout=TIMEOUT_SECONDS)

    assert process.returncode == 0, stderr
    assert f"region-b echo: weights of deploy/overlays/region-a/echo at {synced}" in stdout
    rows = [row.split() for row in stdout.splitlines() if row.split()[-1:] == ["holds"]]
    assert [(row[0], row[1], row[2], row[3], row[-2]) for row in rows] == [
        (region, "echo", version, weight, "0") for region in REGIONS for version, weight in (("v1", "75"), ("v2", "25"))
    ]


@pytest.fixture
def measuring(lab: Lab) -> subprocess.Popen[str]:
    """A verification that has heard from both probes, and whose requests go on."""
    running = threading.Barrier(len(REGIONS) + 1)
    for cluster in lab.clusters.values():

        def script(exec_: Exec, went: threading.Event = cluster.client_went) -> None:
            exec_.send(STDOUT, line(ok()))
            running.wait(TIMEOUT_SECONDS)
            if exec_.wait_until_client_goes():
                went.set()

        cluster.script = script
    process = lab.start()
    running.wait(TIMEOUT_SECONDS)
    return process


def test_ctrl_c_closes_the_stdin_of_both_probes_and_ends_with_130(lab: Lab, measuring: subprocess.Popen[str]) -> None:
    measuring.send_signal(signal.SIGINT)
    stdout, stderr = measuring.communicate(timeout=TIMEOUT_SECONDS)

    assert measuring.returncode == 130
    assert (stdout, stderr.splitlines()[-1]) == ("", "stopped; the probes stop with it")
    assert all(cluster.client_went.is_set() for cluster in lab.clusters.values())


def test_kill_9_closes_the_stdin_of_both_probes(lab: Lab, measuring: subprocess.Popen[str]) -> None:
    measuring.kill()
    measuring.communicate(timeout=TIMEOUT_SECONDS)

    assert all(cluster.client_went.wait(TIMEOUT_SECONDS) for cluster in lab.clusters.values())
