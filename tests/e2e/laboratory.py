"""The end-to-end tests' own lab, spoken to as a person does: by its commands, and by commits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lab.delivery.stacks import Stacks
from lab.place import Lab
from tests.e2e.checkout import git
from tests.e2e.waiting import until

REGIONS = ("region-a", "region-b")


@dataclass(frozen=True)
class Laboratory:
    """A lab of two regions in a checkout of its own, in which a test may commit and push."""

    place: Lab
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def regions_file(self) -> Path:
        """What tells `rollout` where the regions are."""
        return self.place.checkout / ".regions.yaml"

    def run(self, *arguments: str, check: bool = True, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """Run `python -m lab …`."""
        return self._python("-m", "lab", *arguments, check=check, seconds=seconds)

    def command(self, *arguments: str) -> list[str]:
        """The command line of `python -m lab …`, to be run in the lab's checkout."""
        return [sys.executable, "-m", "lab", *arguments]

    def verify(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m rollout verify …`."""
        return self._python("-m", "rollout", "verify", *arguments, check=False, seconds=300)

    def pulumi(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the real CLI in the lab."""
        return self.run("pulumi", *arguments, "--color=never", check=check)

    def kubectl(self, region: str, *arguments: str, check: bool = True) -> str:
        """Run kubectl on a region; its output."""
        return self.run("kubectl", "--context", region, *arguments, check=check).stdout

    def get(self, region: str, *arguments: str) -> dict[str, Any]:
        """An object, or a list of them, as the API server gives it."""
        found: dict[str, Any] = json.loads(self.kubectl(region, "get", *arguments, "-o", "json"))
        return found

    def edit(self, region: str, change: Callable[[Any], object]) -> None:
        """Change the settings under `config` in a region's stack file, its comments kept."""
        yaml, file = YAML(), self.place.checkout / f"Pulumi.{region}.yaml"
        document = yaml.load(file.read_text())
        change(document["config"])
        with file.open("w") as target:
            yaml.dump(document, target)

    def edit_overlay(self, region: str, name: str, change: Callable[[Any], object]) -> None:
        """Change one file of what Argo CD applies in a region, past the stack file and the renderer."""
        yaml, file = YAML(), self.place.checkout / "deploy/overlays" / region / "echo" / name
        document = yaml.load(file.read_text())
        change(document)
        with file.open("w") as target:
            yaml.dump(document, target)

    def envoy(self, region: str, page: str) -> Any:
        """A page of the administration of the probe's Envoy that is JSON."""
        probe = ("--namespace=echo-probe", "deployment/probe", "--container=istio-proxy")
        return json.loads(self.kubectl(region, "exec", *probe, "--", "pilot-agent", "request", "GET", page))

    def known(self, region: str) -> set[str]:
        """The subsets of echo that the probe's Envoy has clusters for: what it has been told and has taken."""
        return self._subsets(region, "dynamic_active_clusters")

    def routed(self, region: str) -> set[str]:
        """The subsets of echo that the probe's Envoy has routes to: what it has been told and has taken."""
        return self._subsets(region, "dynamic_route_configs")

    def render(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `python -m rollout render …`."""
        return self._python("-m", "rollout", "render", *arguments, check=check, seconds=60)

    def git(self, *arguments: str) -> str:
        """Run git in the lab's checkout; what it printed."""
        return git(self.place.checkout, *arguments)

    def commit(self, message: str) -> str:
        """Commit all that was changed; the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def push(self, message: str) -> str:
        """Commit all that was changed and push it as a person does; the commit."""
        revision = self.commit(message)
        self.git("push", "--quiet", "lab")
        return revision

    def commit_weights(self, weights: Mapping[str, int], *regions: str) -> str:
        """Change the weights of regions and commit that with what is rendered of it; the commit."""

        def change(config: Any) -> None:
            for version, weight in weights.items():
                config["echo-rollout:services"]["echo"]["versions"][version]["weight"] = weight

        for region in regions:
            self.edit(region, change)
        self.render()
        return self.commit(f"Weigh {dict(weights)} in {', '.join(regions)}")

    def weigh(self, weights: Mapping[str, int], *regions: str) -> str:
        """Change the weights of regions by a commit, pushed; the commit."""
        revision = self.commit_weights(weights, *regions)
        self.git("push", "--quiet", "lab")
        return revision

    def application(self, region: str, service: str = "echo") -> dict[str, Any]:
        """Argo CD's Application of a service in a region."""
        return self.get(region, f"application.argoproj.io/{service}", "--namespace=argocd")

    def await_synced(self, revision: str, *regions: str, service: str = "echo") -> None:
        """Wait until Argo CD in the regions has brought a service to a commit and finds it healthy; 180 seconds at most."""
        for region in regions or REGIONS:
            until(partial(self._is_at, region, service, revision), seconds=180)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Bring both regions back to the commit at which a block began, whatever it does: by a commit, as a person would."""
        before = self.git("rev-parse", "HEAD").strip()
        try:
            yield
        finally:
            self.git("reset", "--quiet", "--hard")
            if self.git("diff", "--name-only", before, "HEAD"):
                self.back_to(before)
                self.await_synced(self.push("Go back"))

    def back_to(self, revision: str) -> None:
        """Make all files what they were at a commit, as a revert would, to be committed."""
        self.git("checkout", "--quiet", revision, "--", ".")
        self.git("rm", "--quiet", "--force", "--ignore-unmatch", "--", *self._added_since(revision))

    def settings(self, region: str) -> dict[str, Any]:
        """What a stack file holds when the lab runs Pulumi on it."""
        loaded: dict[str, Any] = YAML(typ="safe").load(Stacks(self.place, tools={}).config_file(region).read_text())
        return loaded

    def _subsets(self, region: str, resource: str) -> set[str]:
        dump = json.dumps(self.envoy(region, f"config_dump?resource={resource}"))
        return set(re.findall(r'"outbound\|80\|([^|]+)\|echo\.echo\.svc\.cluster\.local"', dump))

    def _is_at(self, region: str, service: str, revision: str) -> bool:
        status = self.application(region, service).get("status", {})
        sync, health = status.get("sync", {}), status.get("health", {})
        return (sync.get("revision"), sync.get("status"), health.get("status")) == (revision, "Synced", "Healthy")

    def _added_since(self, revision: str) -> list[str]:
        added = self.git("diff", "--name-only", "--diff-filter=A", revision, "HEAD").splitlines()
        return added or ["no-such-file"]

    def _python(self, *arguments: str, check: bool, seconds: float) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.place.checkout,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if check and result.returncode != 0:
            raise AssertionError(
                f"{' '.join(arguments)} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
            )
        return result


def write_settings(file: Path, settings: Mapping[str, Any]) -> str:
    """Write a stack file of a test's own; the flag that makes Pulumi use it."""
    with file.open("w") as target:
        YAML().dump(dict(settings), target)
    return f"--config-file={file}"


def changes(preview: str) -> dict[str, Any]:
    """The resources that a `--json` preview would change, by name, and what to; not those that are only read, or were."""
    steps: Sequence[Mapping[str, Any]] = json.loads(preview)["steps"]
    return {
        step["urn"].rpartition("::")[2]: step["op"]
        for step in steps
        if step["op"] not in ("same", "refresh", "read", "discard")
    }
