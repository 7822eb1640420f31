"""A stand-in for a region's API server: lists probe pods, has Applications, and speaks exec's websocket protocol over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

STDOUT, STDERR, STATUS = 1, 2, 3
PATIENCE_SECONDS = 10.0
APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/"

SUCCESS = {"metadata": {}, "status": "Success"}


def exit_status(code: int) -> dict[str, Any]:
    """What an API server says last of a process that ended with a code other than 0."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def pod(name: str = "probe-1", *, ready: bool = True, waiting: str = "", deleted: bool = False) -> dict[str, Any]:
    """A probe pod as the API server would describe it."""
    required = {"name": "probe", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    statuses = [{**required, "state": {"waiting": {"reason": waiting}}}] if waiting else []
    return {
        "metadata": {"name": name, **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})},
        "status": {
            "phase": "Running" if ready else "Pending",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": statuses,
        },
    }


@dataclass
class Exec:
    """The server's end of one exec."""

    connection: socket.socket
    command: Sequence[str]
    path: str

    def send(self, channel: int, data: bytes) -> None:
        self._frame(2, bytes([channel]) + data)

    def end(self, status: dict[str, Any]) -> None:
        self.send(STATUS, json.dumps(status).encode())
        self._frame(8, struct.pack("!H", 1000))

    def wait_until_client_goes(self) -> bool:
        """Whether the client closes the connection (the process would find its stdin closed) within ten seconds."""
        self.connection.settimeout(PATIENCE_SECONDS)
        try:
            received = self.connection.recv(1)
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
        # it sends nothing on stdin, so the first byte is a close frame's, if it is not the end itself
        return received in {b"", b"\x88"}

    def _frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size)
        self.connection.sendall(bytes([0x80 | opcode]) + length + payload)


@dataclass
class FakeCluster:
    """What a region's cluster answers, and what it was asked."""

    pods: list[dict[str, Any]] = field(default_factory=lambda: [pod()])
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By `namespace/name`."""
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """What else is listed, by path; any other list is of `pods`."""
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Single objects, by path."""
    refused: set[str] = field(default_factory=set)
    """Paths that are refused."""
    script: Callable[[Exec], None] = lambda _exec: None
    refuse_list: int = 0
    refuse_exec: int = 0
    refusal: str = "not allowed"
    refuse_applications: int = 0
    paths: list[str] = field(default_factory=list)
    queries: list[dict[str, list[str]]] = field(default_factory=list)
    on_patch: Callable[[], None] = lambda: None
    client_went: threading.Event = field(default_factory=threading.Event)

    def kubeconfig(self, path: Path, context: str, port: int) -> Path:
        """Writes a kubeconfig whose one context leads here."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "fake", "user": {"token": "none"}}],
            "contexts": [{"name": context, "context": {"cluster": "fake", "user": "fake"}}],
            "current-context": context,
        }
        path.write_text(json.dumps(document))
        return path


@contextmanager
def serving(cluster: FakeCluster) -> Iterator[int]:
    """Serves it on a port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            cluster.paths.append(asked.path)
            cluster.queries.append(parse_qs(asked.query))
            if asked.path.endswith("/exec"):
                self._exec(parse_qs(asked.query)["command"], asked.path)
            elif asked.path.startswith(APPLICATIONS) and "/applications/" in asked.path:
                namespace, _plural, name = asked.path.removeprefix(APPLICATIONS).split("/")
                found = cluster.applications.get(f"{namespace}/{name}")
                self._json(cluster.refuse_applications or (200 if found else 404), found or {})
            else:
                items = cluster.lists.get(asked.path, cluster.pods)
                limit, at = (int(parse_qs(asked.query).get(key, ["0"])[0]) for key in ("limit", "continue"))
                ends = at + limit if limit else len(items)
                listed: dict[str, Any] = {"kind": "PodList", "apiVersion": "v1", "items": items[at:ends]}
                listed["metadata"] = {"continue": str(ends) if ends < len(items) else ""}
                answer = cluster.objects.get(asked.path, listed)
                self._json(403 if asked.path in cluster.refused else cluster.refuse_list or 200, answer)

        def do_PATCH(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            cluster.paths.append(f"PATCH {self.path}")
            cluster.on_patch()
            self._json(200, {})

        def _json(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _exec(self, command: list[str], path: str) -> None:
            if refused := cluster.refuse_exec or (403 if path in cluster.refused else 0):
                self._json(refused, {"kind": "Status", "message": cluster.refusal})
                return
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
            self.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
            self.end_headers()
            self.wfile.flush()
            cluster.script(Exec(self.connection, command, urlsplit(self.path).path))
            self.close_connection = True

        def log_message(self, *_arguments: object) -> None:
            """Tests have nothing to read here."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
