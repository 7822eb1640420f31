"""As much of an API server as the program asks before it registers anything: Helm's records in Istio's namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import yaml

RECORDS = "/api/v1/namespaces/istio-system/secrets?labelSelector=owner%3Dhelm"


@dataclass
class ApiServer:
    """What it answers, and where it is.

    Attributes:
        address: its URL.
        revisions: the records that it has: release, number and status.
        code: the status of every answer.
        message: what it answers in place of the records.
        accepted: the Accept headers that it was sent.
    """

    address: str
    revisions: list[tuple[str, int, str]] = field(default_factory=list)
    code: int = 200
    message: str = ""
    accepted: list[str] = field(default_factory=list)

    def kubeconfig(self, file: Path, *contexts: str) -> Path:
        """Write a kubeconfig whose contexts all lead here."""
        document = {
            "clusters": [{"name": "here", "cluster": {"server": self.address}}],
            "users": [{"name": "me", "user": {"token": "t"}}],
            "contexts": [{"name": name, "context": {"cluster": "here", "user": "me"}} for name in contexts],
            "current-context": contexts[0],
        }
        file.write_text(yaml.safe_dump(document))
        return file


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """Serve on a free port until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.accepted.append(self.headers["Accept"])
            labels = [
                {"name": name, "version": str(number), "status": status} for name, number, status in served.revisions
            ]
            items = [{"metadata": {"labels": each}} for each in labels]
            body = (
                served.message or json.dumps({"items": items or None})
            ).encode()  # as an API server has an empty list here
            self.send_response(served.code if self.path == RECORDS else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = ApiServer(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
