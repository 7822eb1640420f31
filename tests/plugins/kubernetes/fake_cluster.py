"""An API server on loopback that speaks just enough: discovery, objects, dry runs, and what a test tells it to say."""

from __future__ import annotations

import copy
import http.server
import json
import re
import threading
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

KINDS = {
    "/api/v1": {
        "ConfigMap": ("configmaps", True),
        "Namespace": ("namespaces", False),
        "Pod": ("pods", True),
        "Secret": ("secrets", True),
        "Service": ("services", True),
    },
    "/apis/apps/v1": {"Deployment": ("deployments", True)},
    "/apis/discovery.k8s.io/v1": {"EndpointSlice": ("endpointslices", True)},
}
_OBJECT = re.compile(r"(/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+))?")


class Request(NamedTuple):
    """What the provider asked for."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    content_type: str


class FakeCluster:
    """Objects by path. `answers` may hold a status and message for a method and path, `on_read` changes what is read."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.kinds = copy.deepcopy(KINDS)
        self.requests: list[Request] = []
        self.answers: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self.on_read: Callable[[dict[str, Any]], None] = lambda _: None
        self.keeps_deleted = False
        handler = type("Handler", (_Handler,), {"cluster": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.block_on_close = False  # the provider's connections stay open
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """Closes the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def kubeconfig(self) -> str:
        """A kubeconfig of this cluster, as text."""
        cluster = {"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self._server.server_port}"}}
        context = {"name": "fake", "context": {"cluster": "fake", "user": "fake"}}
        users = [{"name": "fake", "user": {"token": "t"}}]
        document = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "fake"}
        return json.dumps(document)

    def sent(self, method: str) -> list[Request]:
        """The requests of this method, in order."""
        return [request for request in self.requests if request.method == method]

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """What the API server says."""
        self.requests.append(request)
        if (request.method, request.path) in self.answers:
            return self.answers[request.method, request.path]
        if request.path == "/version":
            return 200, {"major": "1"}
        if request.path in self.kinds:
            entries = self.kinds[request.path].items()
            return 200, {
                "resources": [{"kind": k, "name": name, "namespaced": spaced} for k, (name, spaced) in entries]
            }
        match = _OBJECT.fullmatch(request.path)
        known = [name for name, _ in self.kinds.get(match[1], {}).values()] if match else []
        if not match or match[3] not in known:
            return _refused(404, "NotFound", "the server could not find the requested resource")
        return self._of_object(request, match[2], match[4])

    def _of_object(self, request: Request, namespace: str | None, name: str | None) -> tuple[int, dict[str, Any]]:
        if request.method == "POST":
            return self._create(request, namespace)
        if name is None:
            inside = [obj for path, obj in self.objects.items() if path.startswith(f"{request.path}/")]
            return 200, {"items": inside}
        live = self.objects.get(request.path, {})
        if not live and request.method != "PATCH":
            return _refused(404, "NotFound", f'"{name}" not found')
        if request.method == "GET":
            self.on_read(live)
        elif request.method == "DELETE":
            if not self.keeps_deleted:
                del self.objects[request.path]
        elif isinstance(request.body, dict):
            return 200, self._stored(request, request.path, _merged(live, request.body))
        return 200, live

    def _create(self, request: Request, namespace: str | None) -> tuple[int, dict[str, Any]]:
        path = f"{request.path}/{request.body['metadata']['name']}"
        if path in self.objects:
            return _refused(409, "AlreadyExists", f'"{request.body["metadata"]["name"]}" already exists')
        spaced = {"namespace": namespace} if namespace else {}
        owner = {
            "manager": request.query["fieldManager"],
            "operation": "Update",
            "fieldsV1": {"f:data": {"f:gone": {}}},
        }
        made = {"uid": uuid.uuid4().hex, "resourceVersion": "1", "generation": 1, "managedFields": [owner], **spaced}
        return 201, self._stored(request, path, _merged(request.body, {"metadata": made, "status": {}}))

    def _stored(self, request: Request, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        if "dryRun" not in request.query:
            self.objects[path] = obj
        return obj


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {
        k: _merged(one[k], v) if isinstance(v, dict) and isinstance(one.get(k), dict) else v for k, v in other.items()
    }
    return copy.deepcopy({**one, **both})


def _refused(status: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"kind": "Status", "reason": reason, "message": message}


class _Handler(http.server.BaseHTTPRequestHandler):
    cluster: FakeCluster
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        parts = urlsplit(self.path)
        content_type = self.headers.get("Content-Type", "")
        status, told = self.cluster.answer(
            Request(self.command, parts.path, dict(parse_qsl(parts.query)), body, content_type)
        )
        text = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Says nothing."""
