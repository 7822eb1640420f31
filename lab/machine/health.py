"""Whether a component of a region answers: asked from inside the region's network namespace, or at its Unix socket."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from lab.machine.namespaces import socket_in

_SECONDS = 2.0


@dataclass(frozen=True)
class Endpoint:
    """A health page: answers 200 when all is well.

    Attributes:
        namespace: the network namespace to ask from.
        host: address inside it.
        port: TCP port.
        path: of the page.
        client: authority, certificate and key to ask with; None asks over plain HTTP unless `unverified_tls`.
        unverified_tls: ask over TLS without checking the certificate, which the component made for itself.
    """

    namespace: Path
    host: str
    port: int
    path: str
    client: tuple[Path, Path, Path] | None = None
    unverified_tls: bool = False

    def answers(self) -> bool:
        """Ask once, for two seconds at most."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_SECONDS)
        try:
            connection.sock = self._connect()
            connection.request("GET", self.path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _connect(self) -> socket.socket:
        plain = socket_in(self.namespace)
        try:
            plain.settimeout(_SECONDS)
            plain.connect((self.host, self.port))
            context = self._tls()
            return plain if context is None else context.wrap_socket(plain, server_hostname=self.host)
        except OSError:
            plain.close()
            raise

    def _tls(self) -> ssl.SSLContext | None:
        if self.client is not None:
            authority, certificate, key = self.client
            context = ssl.create_default_context(cafile=str(authority))
            context.load_cert_chain(certificate, key)
            return context
        if self.unverified_tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        return None


def accepts(unix_socket: Path) -> bool:
    """Whether something listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_SECONDS)
        try:
            client.connect(str(unix_socket))
        except OSError:
            return False
    return True
