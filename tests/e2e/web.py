"""A service that is nothing like echo, brought up beside it in both regions: Debian's nginx with its own port and paths."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.e2e.faults import processes
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.promoting import rollout
from tests.e2e.waiting import until

_SERVICES = "echo-rollout:services"
_WEB = """\
port: 8000
containerPort: 9000
probes: {startup: /alive, readiness: /ready, liveness: /alive}
drain: {by: sleep, seconds: 5, graceSeconds: 30}
writable: [/run, /var/lib/nginx, /var/log/nginx]
maxEjectionPercent: 50
hosts: [web.corp.local]
testers: {header: x-web-version}
requests: [{path: /shop, weight: 3}, {path: /missing, expectedStatus: [404]}]
versions:
  v1: {image: registry.corp.local/nginx:1.0.0, replicas: 2, weight: 100, configMaps: {/etc/nginx/conf.d: site-1}}
  v2: {image: registry.corp.local/nginx:1.0.0, replicas: 2, weight: 0, configMaps: {/etc/nginx/conf.d: site-2}}
"""
_CATALOGUE = 2_000
"""Bytes. nginx sends what it may in a second at once."""
_NOT_READY = "/run/not-ready"
_SITE = """\
server {{
  listen 9000;
  keepalive_timeout 65m;
  client_header_timeout 65m;
  location = /alive {{ return 204; }}
  location = /ready {{ if (-f {not_ready}) {{ return 503; }} return 204; }}
  location /shop {{ return 200 "site {number}"; }}
  location /checkout {{ return {checkout}; }}
  location /limited {{ return {limited}; }}
  location /catalogue {{ limit_rate {rate}; return 200 "{catalogue}"; }}
  location / {{ return 404; }}
}}
"""


def _configure(lab: Laboratory, region: str) -> None:
    """Make the sites of both versions, once their namespace is there.

    v2 fails at /checkout, allows nothing at /limited, and takes a second for /catalogue.
    """
    until(lambda: bool(lab.kubectl(region, "get", "namespace/web", "--ignore-not-found")), seconds=120)
    for number in (1, 2):
        well = {"checkout": 204, "limited": 204, "rate": 0}
        differs = {"checkout": 500, "limited": 429, "rate": _CATALOGUE * 3 // 4} if number == 2 else well
        alike = {"number": number, "catalogue": "x" * _CATALOGUE, "not_ready": _NOT_READY}
        site = {"site.conf": _SITE.format(**alike, **differs)}
        metadata = {"name": f"site-{number}", "namespace": "web"}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "data": site}
        file = lab.place.directory / f"site-{number}-{region}.json"
        file.write_text(json.dumps(made))
        lab.kubectl(region, "apply", f"--filename={file}")


def bring(lab: Laboratory, **changed: Any) -> str:
    """Bring the service up in both regions; the commit that brought it.

    Args:
        lab: Where.
        changed: Settings of it that are others.
    """
    for region in REGIONS:
        lab.edit(region, lambda config: config[_SERVICES].update(web={**YAML().load(_WEB), **changed}))
    lab.render()
    commit = lab.push("Bring web")
    with ThreadPoolExecutor() as pool:
        sites = [pool.submit(_configure, lab, region) for region in REGIONS]
        lab.run("up", "--no-verify")
        for site in sites:
            site.result()
    return commit


def take_away(lab: Laboratory, commit: str) -> None:
    """Take the service away in the steps that docs/operating.md tells, and go back to what was before the commit that brought it."""
    lab.git("pull", "--quiet", "--ff-only", "lab", "main")
    _remove(lab)
    lab.back_to(f"{commit}~1")
    lab.await_synced(lab.push("Go back"))


@contextmanager
def web_up(lab: Laboratory, **changed: Any) -> Iterator[str]:
    """The service for as long as a block lasts, as `bring`."""
    commit = bring(lab, **changed)
    yield commit
    take_away(lab, commit)


@contextmanager
def not_ready(lab: Laboratory, region: str, version: str) -> Iterator[Callable[[], None]]:
    """Gives a block the hand to let one pod of a version say that it is not ready, until its end; it goes on to answer."""
    server, *_ = processes(lab, region, version, service="web", program=b"nginx: master")
    mark = Path(f"/proc/{server}/root{_NOT_READY}")
    try:
        yield mark.touch
    finally:
        mark.unlink(missing_ok=True)


def _remove(lab: Laboratory) -> None:
    for region in REGIONS:
        lab.edit(
            region,
            lambda config: config.setdefault("echo-rollout:rules", {}).update(
                waived={"service-removed": "nobody asks it"}
            ),
        )
    lab.push("Announce that web goes")
    for region in REGIONS:
        lab.edit(region, lambda config: config[_SERVICES].pop("web"))
    lab.render()
    assert not (lab.place.checkout / "deploy/overlays/region-a/web").exists()
    planned = rollout(lab, "plan")
    assert planned.returncode == 1, planned.stdout
    assert "service-removed" in planned.stdout
    lab.push("Remove web")
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(_remove_from, lab), REGIONS))


def _remove_from(lab: Laboratory, region: str) -> None:
    for urn in _protected(lab, region):
        lab.pulumi("state", "unprotect", urn, "--yes", "--stack", region)
    lab.pulumi("up", "--yes", "--skip-preview", "--stack", region)
    until(partial(_is_gone, lab, region), seconds=60)


def _protected(lab: Laboratory, region: str) -> list[str]:
    state = json.loads(lab.pulumi("stack", "export", "--stack", region).stdout)
    found = [each for each in state["deployment"]["resources"] if each.get("protect")]
    return [each["urn"] for each in found if "::web" in each["urn"]]


def _is_gone(lab: Laboratory, region: str) -> bool:
    return not lab.kubectl(region, "get", "namespace/web", "--ignore-not-found")
