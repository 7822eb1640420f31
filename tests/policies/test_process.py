"""The pack as Pulumi's language host starts it, asked as the engine asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from tests.components.graph import ROOT, STACK_FILES, Graph, stack_config
from tests.policies.conftest import Deliveries
from tests.policies.resources import edited

PACK = ROOT / "policies"
SECONDS = 30


@pytest.fixture(scope="module")
def pack() -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    """The pack in its own folder, without the checkout on Python's path, for a stack with direct delivery."""
    config = stack_config(STACK_FILES[0], delivery="direct")
    told = {"PULUMI_STACK": "region-a", "PULUMI_CONFIG": json.dumps(config)}
    started = subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(PACK)],
        cwd=PACK,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | told,
        stdout=subprocess.PIPE,
        text=True,
    )
    with started:
        assert started.stdout is not None
        try:
            with grpc.insecure_channel(f"127.0.0.1:{int(started.stdout.readline())}") as channel:
                yield analyzer_pb2_grpc.AnalyzerStub(channel)
        finally:
            started.kill()


def request(graph: Graph) -> analyzer_pb2.AnalyzeStackRequest:
    return analyzer_pb2.AnalyzeStackRequest(
        resources=[
            analyzer_pb2.AnalyzerResource(
                type=node.type,
                properties=json_format.ParseDict(_sent(node.inputs), analyzer_pb2.AnalyzerResource().properties),
                urn=node.urn,
                name=node.name,
                parent=node.parent,
                dependencies=list(node.dependencies),
            )
            for node in graph
        ]
    )


def _sent(inputs: Mapping[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(json.dumps(inputs, default=str))
    return sent


def test_the_pack_is_served_by_its_name(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    info = pack.GetAnalyzerInfo(empty_pb2.Empty(), timeout=SECONDS)
    assert info.name == "echo-rollout"


def test_a_good_graph_passes(pack: analyzer_pb2_grpc.AnalyzerStub, registered: Deliveries) -> None:
    assert not pack.AnalyzeStack(request(registered["direct"]), timeout=SECONDS).diagnostics


def test_a_broken_one_is_refused(pack: analyzer_pb2_grpc.AnalyzerStub, registered: Deliveries) -> None:
    def forget_v2(rule: dict[str, Any]) -> None:
        del rule["spec"]["subsets"][1]

    broken = edited(registered["direct"], "DestinationRule", "echo", forget_v2)
    (found,) = pack.AnalyzeStack(request(broken), timeout=SECONDS).diagnostics
    assert found.enforcementLevel == analyzer_pb2.MANDATORY
    assert "[routed-subset-exists]" in found.message
