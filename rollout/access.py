"""How to reach a region's cluster, and the state of its stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RegionAccess:
    """A region's cluster.

    Attributes:
        name: What echo says in its answers, and what the tables say.
        stack: The Pulumi stack that owns the region.
        context: Its context in the kubeconfig.
        kubeconfig: The kubeconfig's path; None for the usual rules ($KUBECONFIG, ~/.kube/config).
    """

    name: str
    stack: str
    context: str
    kubeconfig: Path | None = None


@dataclass(frozen=True)
class PulumiAccess:
    """How to run the Pulumi CLI so that it sees the stacks.

    Attributes:
        project: Directory of Pulumi.yaml.
        path: Directory to look for `pulumi` in, before PATH; None to use PATH as it is.
        environment: Variables that are set on top of ours (backend, passphrase, PULUMI_HOME).
    """

    project: Path
    path: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
