"""`kubeconfig.py REGION…` prints a kubeconfig for regions of the variable CLUSTERS; it holds no secret.

CLUSTERS is JSON: `{"region-a": {"server": "https://…", "certificate-authority-data": "<base64>"}, …}`. The credential is
made by `credential.py` whenever one is needed, for the server's address as its audience: no other cluster takes it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

_FORM = '{"<region>": {"server": "https://…", "certificate-authority-data": "<base64>"}}'


def cluster(clusters: str, region: str) -> dict[str, str]:
    """The region's cluster, as a kubeconfig writes it.

    Raises:
        SystemExit: CLUSTERS is not of its form, or lacks the region.
    """
    try:
        found = json.loads(clusters)[region]
        return {key: str(found[key]) for key in ("server", "certificate-authority-data")}
    except (ValueError, LookupError, TypeError) as error:
        sys.exit(
            f"variable CLUSTERS: {type(error).__name__}: {error} — it alone says where {region}'s cluster is; "
            f"set it to {_FORM} (docs/workflows.md)"
        )


def credential(server: str) -> dict[str, object]:
    """How a client gets a token for a server."""
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(Path(__file__).resolve().with_name("credential.py")), server],
        "interactiveMode": "Never",
    }


def kubeconfig(clusters: dict[str, dict[str, str]]) -> dict[str, object]:
    """The kubeconfig whose contexts are these regions'; the first is the current one."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": region, "cluster": where} for region, where in clusters.items()],
        "users": [
            {"name": region, "user": {"exec": credential(where["server"])}} for region, where in clusters.items()
        ],
        "contexts": [{"name": region, "context": {"cluster": region, "user": region}} for region in clusters],
        "current-context": next(iter(clusters)),
    }


def main() -> None:
    """Print the kubeconfig of the regions that are the arguments."""
    known = os.environ.get("CLUSTERS", "")
    print(json.dumps(kubeconfig({region: cluster(known, region) for region in sys.argv[1:]}), indent=2))


if __name__ == "__main__":
    main()
