"""A kubeconfig's credential plugin: the job's own OIDC token, made for one cluster and renewed when it ends.

`credential.py AUDIENCE` prints an ExecCredential. GitHub's tokens live for some minutes, less than an update may take; the
client calls this again when the one it has has ended.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime

_TIMEOUT_SECONDS = 20.0


def token(audience: str) -> str:
    """What GitHub says of this job, signed, for this audience alone.

    Raises:
        SystemExit: the job may not ask for one, or GitHub does not give it.
    """
    try:
        url, bearer = os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"], os.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    except KeyError as error:
        sys.exit(f"{error.args[0]} is not set — only it gives a token for the cluster; give the job `id-token: write`")
    request = urllib.request.Request(
        f"{url}&audience={urllib.parse.quote(audience, safe='')}", headers={"Authorization": f"bearer {bearer}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            return str(json.load(answer)["value"])
    except (urllib.error.URLError, TimeoutError) as error:
        sys.exit(f"no OIDC token for {audience}: {error} — the cluster knows no other credential; run the job again")


def expiry(jwt: str) -> str:
    """When the token ends, as Kubernetes writes times."""
    payload = jwt.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return datetime.fromtimestamp(claims["exp"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    """Print the ExecCredential for the audience that is the only argument."""
    jwt = token(sys.argv[1])
    status = {"token": jwt, "expirationTimestamp": expiry(jwt)}
    print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))


if __name__ == "__main__":
    main()
