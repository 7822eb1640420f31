"""What mypy makes of programs that use the generated classes."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[2]

HEADER = """
import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes_istio.networking import v1 as networking
from pulumi_kubernetes_istio.security import v1 as security

weight: pulumi.Output[int] = pulumi.Output.from_input(90)
"""

SNIPPETS = {
    "correct": """
service = networking.VirtualService(
    "echo",
    metadata=ObjectMetaArgs(name="echo", labels={"app": "echo"}),
    spec=networking.VirtualServiceSpecArgs(
        hosts=["echo"],
        http=[
            networking.VirtualServiceSpecHttpArgs(
                route=[
                    networking.VirtualServiceSpecHttpRouteArgs(
                        destination=networking.VirtualServiceSpecHttpRouteDestinationArgs(host="echo", subset="v1"),
                        weight=weight,
                    )
                ]
            )
        ],
    ),
    opts=pulumi.ResourceOptions(depends_on=[]),
)
authentication = security.PeerAuthentication(
    "default",
    security.PeerAuthenticationArgs(
        spec=security.PeerAuthenticationSpecArgs(mtls=security.PeerAuthenticationSpecMtlsArgs(mode="STRICT"))
    ),
)
name: pulumi.Output[str | None] = service.metadata.apply(lambda metadata: metadata.name)
""",
    "misspelled": """
networking.DestinationRuleSpecTrafficPolicyOutlierDetectionArgs(consecutive_5xx_error=10)
""",
    "wrong_type": """
networking.VirtualServiceSpecHttpRouteDestinationPortArgs(number="http")
""",
    "wrong_object": """
networking.VirtualServiceSpecArgs(http=[networking.VirtualServiceSpecHttpFaultArgs()])
""",
    "missing": """
networking.VirtualServiceSpecHttpRouteArgs(weight=90)
""",
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[str]]:
    """The errors that `mypy --strict` finds in each snippet, all checked in one run: it is starting that takes long."""
    folder = tmp_path_factory.mktemp("snippets")
    for name, body in SNIPPETS.items():
        (folder / f"{name}.py").write_text(HEADER + body)
    report, problems, _ = api.run(
        ["--strict", "--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary", str(folder)]
    )
    assert not problems
    return {
        name: [line for line in report.splitlines() if f"/{name}.py:" in line and "error:" in line] for name in SNIPPETS
    }


def test_correct_use_is_accepted(errors: Mapping[str, list[str]]) -> None:
    assert errors["correct"] == []


@pytest.mark.parametrize(
    ("snippet", "code"),
    [
        ("misspelled", "call-arg"),
        ("wrong_type", "arg-type"),
        ("wrong_object", "list-item"),
        ("missing", "call-arg"),
    ],
)
def test_wrong_use_is_refused(errors: Mapping[str, list[str]], snippet: str, code: str) -> None:
    assert [line.rsplit(" ", 1)[-1] for line in errors[snippet]] == [f"[{code}]"]
