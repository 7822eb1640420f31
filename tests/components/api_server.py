"""As much of an API server as the program asks before it registers anything: its identity, Helm's records, and what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import yaml

IDENTITY = "/api/v1/namespaces/kube-system"
EMPTY = re.compile(r"/apis?/.*/namespaces/[^/]+/(services|deployments|virtualservices|destinationrules)(\?.*)?")
"""Lists that have nothing in them unless somebody says so."""
RECORDS = "/api/v1/namespaces/{}/secrets?labelSelector=owner%3Dhelm"


@dataclass
class ApiServer:
    """What it answers, and where it is.

    Attributes:
        address: its URL.
        uid: the UID of its namespace kube-system.
        revisions: the records that it has in istio-system: release, number and status.
        ingress: those that it has in istio-ingress.
        existing: more that it answers, by path.
        forbidden: of these paths, those that the user may not see.
        mounted: whether an object is immutable, by kind, namespace and name as in `configmaps/web/site`.
        code: the status of every answer.
        message: what it answers in place of all that.
        accepted: the Accept headers that it was sent.
        connections: the ports that it was asked from.
    """

    address: str
    uid: str = "uid-a"
    revisions: list[tuple[str, int, str]] = field(default_factory=list)
    ingress: list[tuple[str, int, str]] = field(default_factory=list)
    existing: dict[str, object] = field(default_factory=dict)
    forbidden: list[str] = field(default_factory=list)
    mounted: dict[str, bool] = field(default_factory=dict)
    code: int = 200
    message: str = ""
    accepted: list[str] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)

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


def _records(revisions: list[tuple[str, int, str]]) -> dict[str, object]:
    labels = [{"name": name, "version": str(number), "status": status} for name, number, status in revisions]
    # as an API server has an empty list here
    return {"items": [{"metadata": {"labels": each}} for each in labels] or None}


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """Serve on a free port until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which keeps a connection, as an API server does

        def do_GET(self) -> None:
            served.accepted.append(self.headers["Accept"])
            served.connections.add(self.client_address[1])
            answers = {
                IDENTITY: {"metadata": {"uid": served.uid}},
                RECORDS.format("istio-system"): _records(served.revisions),
                RECORDS.format("istio-ingress"): _records(served.ingress),
                "/apis": {"groups": []},
                **({self.path: {"items": None}} if EMPTY.fullmatch(self.path) else {}),
                **served.existing,
            }
            for called, immutable in served.mounted.items():
                kind, namespace, name = called.split("/")
                for asked in (name, "other"):
                    there = [{"immutable": immutable}] if asked == name else []
                    path = f"/api/v1/namespaces/{namespace}/{kind}?fieldSelector=metadata.name%3D{asked}"
                    answers[path] = {"items": there}
            body = (served.message or json.dumps(answers.get(self.path))).encode()
            code = 403 if self.path in served.forbidden else served.code
            self.send_response(code if self.path in answers else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = ApiServer(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
