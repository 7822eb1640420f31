"""A job reaches one cluster with its own OIDC token, through the official Kubernetes client."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from kubernetes import config

from tests.workflows.files import REGION_ACTION

SERVER = "https://region-a.corp.local:6443"
AUTHORITY = base64.b64encode(b"certificate").decode()
CLUSTERS = {"region-a": {"server": SERVER, "certificate-authority-data": AUTHORITY}}
ENDS = 4_102_444_800  # 2100-01-01T00:00:00Z
BEARER = "of-this-job"


@dataclass
class Issuer:
    """Gives tokens on this machine as GitHub gives them to a job."""

    url: str = ""
    asked: list[tuple[str | None, str]] = field(default_factory=list)

    def token(self, audience: str) -> str:
        claims = base64.urlsafe_b64encode(json.dumps({"aud": audience, "exp": ENDS}).encode()).rstrip(b"=").decode()
        return f"head.{claims}.signature"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    known = Issuer()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (audience,) = parse_qs(urlparse(self.path).query)["audience"]
            known.asked.append((self.headers["Authorization"], audience))
            self.send_response(200 if self.headers["Authorization"] == f"bearer {BEARER}" else 401)
            self.end_headers()
            self.wfile.write(json.dumps({"value": known.token(audience)}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        known.url = f"http://127.0.0.1:{server.server_port}/token?api-version=2.0"
        yield known
        server.shutdown()
        thread.join()


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REGION_ACTION / f"{script}.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_client_sends_a_token_for_this_cluster_alone(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", issuer.url)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER)
    file = tmp_path / "config"
    file.write_text(run("kubeconfig", "region-a", CLUSTERS=json.dumps(CLUSTERS)).stdout)
    api = config.new_client_from_config(str(file), "region-a")  # type: ignore[no-untyped-call]
    assert api.configuration.host == SERVER
    assert api.configuration.get_api_key_with_prefix("BearerToken") == f"Bearer {issuer.token(SERVER)}"
    assert set(issuer.asked) == {(f"bearer {BEARER}", SERVER)}


def test_a_job_that_goes_through_all_regions_knows_each_by_its_own_context(tmp_path: Path) -> None:
    other = {"server": "https://region-b.corp.local:6443", "certificate-authority-data": AUTHORITY}
    known = json.dumps({**CLUSTERS, "region-b": other})
    file = tmp_path / "config"
    file.write_text(run("kubeconfig", "region-a", "region-b", CLUSTERS=known).stdout)
    contexts, current = config.list_kube_config_contexts(str(file))  # type: ignore[no-untyped-call]
    assert ([each["name"] for each in contexts], current["name"]) == (["region-a", "region-b"], "region-a")
    users = {each["name"]: each["user"]["exec"]["args"][1] for each in json.loads(file.read_text())["users"]}
    assert users == {"region-a": SERVER, "region-b": other["server"]}


def test_a_credential_says_when_it_ends(issuer: Issuer) -> None:
    done = run("credential", SERVER, ACTIONS_ID_TOKEN_REQUEST_URL=issuer.url, ACTIONS_ID_TOKEN_REQUEST_TOKEN=BEARER)
    assert json.loads(done.stdout)["status"]["expirationTimestamp"] == "2100-01-01T00:00:00Z"


def test_a_job_that_may_not_ask_is_told_so() -> None:
    done = run("credential", SERVER)
    assert done.returncode == 1
    assert "give the job `id-token: write`" in done.stderr


def test_a_refusal_is_told_without_a_credential(issuer: Issuer) -> None:
    done = run("credential", SERVER, ACTIONS_ID_TOKEN_REQUEST_URL=issuer.url, ACTIONS_ID_TOKEN_REQUEST_TOKEN="another")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"no OIDC token for {SERVER}: HTTP Error 401" in done.stderr


@pytest.mark.parametrize(
    "clusters",
    ["", "no JSON", "[]", "{}", '{"region-a": "https://a"}', '{"region-a": {"server": "https://a"}}'],
)
def test_a_variable_that_does_not_name_the_cluster_is_explained(clusters: str) -> None:
    done = run("kubeconfig", "region-a", CLUSTERS=clusters)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("variable CLUSTERS: ")
    assert "docs/workflows.md" in done.stderr
    assert "Traceback" not in done.stderr
