"""Pulumi in the lab: the real CLI, the stacks' settings, and what an interrupted update left.

The CLI finds its language host beside itself, and the Kubernetes provider in its home or on PATH: in the SDK's own release where this
machine has it, else the one that the lab builds, of which the engine warns that it is older. The committed stack files are only
read: each call gets a file made afresh from the committed one and the lab's settings.
"""

from __future__ import annotations

import argparse
import filecmp
import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lab.build import sources
from lab.build.tools import PROVIDER
from lab.build.versions import HUB, REDIS, argocd_image, istio_version
from lab.delivery.remote import BRANCH, address
from lab.machine.files import write
from lab.machine.ownership import caller_home
from lab.machine.processes import command_line
from lab.place import Lab
from lab.report import LabError

LANGUAGE = "pulumi-language-python"
PROJECT = "echo-rollout"
_DELETION_SECONDS = 60
_WITH_CONFIG_FILE = ("up", "update", "preview", "pre", "refresh", "destroy", "down", "dn", "watch", "import", "logs")
_WITH_FILES_OF_THEIR_OWN = {
    "config": ("set", "set-all", "rm", "rm-all", "cp", "refresh", "env"),
    "stack": ("init", "rename", "change-secrets-provider"),
}


@dataclass(frozen=True)
class Stacks:
    """The stacks of a lab.

    Attributes:
        lab: which.
        tools: the programs, by name.
    """

    lab: Lab
    tools: Mapping[str, Path]

    @property
    def home(self) -> Path:
        """All that Pulumi writes."""
        return self.lab.directory / "pulumi"

    @property
    def programs(self) -> Path:
        """The folder with `pulumi` and its language host."""
        return self.home / "bin"

    def environment(self) -> dict[str, str]:
        """The variables that make any `pulumi` this lab's."""
        return {
            "PULUMI_HOME": str(self.home / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.home / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",  # the state holds no secret: it never leaves this machine, nor does the lab
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def install(self) -> None:
        """Put the CLI, the language host and the provider where Pulumi looks for them."""
        for directory in (self.programs, self.home / "home" / "plugins", self.home / "state", self.home / "stacks"):
            directory.mkdir(parents=True, exist_ok=True)
        # not a symbolic link: the CLI looks for its language host beside the real file
        _copy(self.tools["pulumi"], self.programs / "pulumi")
        self._install_language_host()
        self._install_provider()

    def ensure(self, region: str) -> None:
        """Make the region's stack if it is not there, away from the committed stack file, which `stack init` would write to."""
        if self._state(region).exists() and self._salt(region):
            return
        # a `stack init` that was killed has made the state and not the salt: without resources yet, and in the way of the next
        self._state(region).unlink(missing_ok=True)
        scratch = self.home / "project"
        scratch.mkdir(exist_ok=True)
        (scratch / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
        made = self.run("stack", "init", region, directory=scratch, capture=True)
        if made.returncode != 0:
            raise LabError(f"{region}: the stack cannot be made: {made.stderr.strip()}")

    def config_file(self, region: str) -> Path:
        """The stack's settings: the committed file, the lab's settings over it.

        Raises:
            LabError: no such stack file, or it is no YAML.
        """
        committed = self.lab.checkout / f"Pulumi.{region}.yaml"
        if not committed.exists():
            names = ", ".join(known.name for known in self.lab.regions)
            raise LabError(
                f"{region}: there is no {committed.name}, so nothing says what the region holds. The stacks are {names}"
            )
        yaml = YAML()
        try:
            settings = yaml.load(committed.read_text()) or {}
            config = settings.get("config") or {}
        except (YAMLError, AttributeError) as error:
            raise LabError(
                f"{committed.name}: it is no YAML mapping, so no setting can be read: {error}. Mend it"
            ) from None
        settings["config"] = config
        for section, values in self._settings(config).items():
            config[f"{PROJECT}:{section}"] = merged(config.get(f"{PROJECT}:{section}"), values)
        if salt := self._salt(region):
            settings["encryptionsalt"] = salt
        made = self.home / "stacks" / committed.name
        with made.open("w") as file:
            yaml.dump(settings, file)
        return made

    def run(
        self, *arguments: str, directory: Path | None = None, capture: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run the real CLI in the lab's environment."""
        command = [str(self.programs / "pulumi"), *arguments]
        region = _stack_of(arguments) if {"up", "update"} & {*arguments} else None
        # one that another update left stays: this one may end well because its state knows nothing of the other
        notes = region is not None and self._state(region).exists() and not self.unfinished(region).exists()
        if region is not None and notes:
            self.unfinished(region).touch()
        result = subprocess.run(
            command,
            cwd=directory or self.lab.checkout,
            env=self.process_environment(),
            capture_output=capture,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL if capture else None,
        )
        if region is not None and notes and result.returncode == 0:
            self.unfinished(region).unlink()
        return result

    def unfinished(self, region: str) -> Path:
        """The file that is there from the beginning of a stack's update until it ends well, or `make up` has put it right."""
        return self.home / f"{region}.unfinished"

    def arguments_of(self, typed: Sequence[str]) -> list[str]:
        """What a person typed after `lab pulumi`, with the settings file that it needs added.

        Raises:
            LabError: the command needs a stack and none is named, or it would edit the file that is made afresh each time.
        """
        known = (*_WITH_CONFIG_FILE, *_WITH_FILES_OF_THEIR_OWN)
        position = next((number for number, word in enumerate(typed) if word in known), len(typed))
        verb, after = "".join(typed[position : position + 1]), typed[position + 1 :]
        if {*_WITH_FILES_OF_THEIR_OWN.get(verb, ())} & {*after}:
            raise LabError(
                f"{' '.join(typed)}: it would write to a committed stack file, and the lab only reads them. "
                "Edit Pulumi.region-a.yaml or Pulumi.region-b.yaml; `make up` and `make down` make and remove the stacks"
            )
        if verb == "stack" and "rm" in after:
            return [*typed, "--preserve-config"]
        own_file = any(word.partition("=")[0] in ("--config-file", "--help", "-h") for word in typed)
        if verb not in _WITH_CONFIG_FILE or own_file:
            return list(typed)
        stack = _stack_of(typed)
        if stack is None:
            names = " or ".join(f"-s {region.name}" for region in self.lab.regions)
            raise LabError(f"{verb}: no stack is named, so it is not known which region is meant. Add {names}")
        return [*typed, f"--config-file={self.config_file(stack)}"]

    def recover(self, region: str) -> list[str]:
        """Put right what a killed update left: its lock, and creations of which nobody knows how they ended.

        Returns:
            What was done, a line each.
        """
        done = []
        folder = self.home / "state" / ".pulumi" / "locks" / "organization" / PROJECT / region
        locks = {lock: json.loads(lock.read_text()).get("pid") for lock in folder.glob("*.json")}
        if running := [pid for pid in locks.values() if _is_running(pid)]:
            raise LabError(
                f"{region}: a pulumi command is at work on this stack (process {running[0]}), and what it has begun looks like what a "
                "killed one leaves. Wait for it, then: make up"
            )
        if stale := [*locks]:
            self.run("cancel", "--yes", "--stack", region, capture=True)
            done.append("released the lock of an update that was killed")
        done += self._roll_back_releases(region)
        operations = self._pending_operations(region)
        pending = [item["resource"] for item in operations if item["type"] == "creating"]
        for resource in pending:
            self._remove_half_made(region, resource)
        # What an interrupted update did is in the cluster, and not in the state, from which the next would see nothing to do. An
        # interruption while pods are waited for leaves neither a lock nor an operation.
        if stale or operations or self.unfinished(region).exists():
            flags = ["--clear-pending-creates"] if pending else []
            where = [f"--stack={region}", f"--config-file={self.config_file(region)}"]
            result = self.run("refresh", "--yes", "--skip-preview", "--non-interactive", *where, *flags, capture=True)
            if result.returncode != 0:
                raise LabError(f"{region}: an interrupted update cannot be put right: {result.stdout}{result.stderr}")
            done.append(f"asked the cluster how far that update came; {len(pending)} creations under way are made anew")
        return done

    def _roll_back_releases(self, region: str) -> list[str]:
        """Helm refuses to touch a release in the midst of whose upgrade it was killed: put it back to what it was."""
        listed = self._ask(region, self._helm(region, "list", "--all-namespaces", "--pending", "--output=json"))
        halves = [release for release in json.loads(listed) if release["status"] != "pending-install"]
        for release in halves:
            where = f"--namespace={release['namespace']}"
            self._ask(region, self._helm(region, "rollback", release["name"], where, "--wait"))
        return [f"rolled back Helm's release {release['name']}, whose upgrade was killed" for release in halves]

    def _pending_operations(self, region: str) -> list[dict[str, Any]]:
        state = self._state(region)
        if not state.exists():
            return []
        latest = json.loads(state.read_text())["checkpoint"].get("latest") or {}
        return list(latest.get("pending_operations") or [])

    def _remove_half_made(self, region: str, resource: Mapping[str, Any]) -> None:
        """Remove what was being created when its update was killed: the state does not have it, and the next would find it there.

        What is to outlive the stack may have been there before it, and at work: the next update takes it as it is.
        """
        if resource.get("retainOnDelete"):
            return
        inputs: Mapping[str, Any] = resource.get("inputs") or {}
        metadata: Mapping[str, Any] = inputs.get("metadata") or {}
        if resource["type"] == "kubernetes:helm.sh/v3:Release":
            where = f"--namespace={inputs['namespace']}"
            flags = ["--wait", "--ignore-not-found"]
            self._ask(region, self._helm(region, "uninstall", str(inputs["name"]), where, *flags))
        elif "kind" in inputs and "name" in metadata:
            group = str(inputs["apiVersion"]).rpartition("/")[0]
            kind = f"{inputs['kind']}.{group}" if group else str(inputs["kind"])
            kubectl = [str(self.tools["kubectl"]), f"--kubeconfig={self.lab.kubeconfig}", f"--context={region}"]
            kubectl += [f"--namespace={metadata['namespace']}"] if "namespace" in metadata else []
            flags = ["--ignore-not-found", f"--timeout={_DELETION_SECONDS}s"]
            deletion = [*kubectl, "delete", kind, str(metadata["name"]), *flags]
            self._ask(region, deletion, unless="doesn't have a resource type")

    def _helm(self, region: str, *arguments: str) -> list[str]:
        return [str(self.tools["helm"]), f"--kubeconfig={self.lab.kubeconfig}", f"--kube-context={region}", *arguments]

    def _ask(self, region: str, command: Sequence[str], *, unless: str | None = None) -> str:
        """Run a command on a region that mends what a killed update left; its output.

        Raises:
            LabError: it failed, with words that do not hold `unless`.
        """
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0 and (unless is None or unless not in result.stderr):
            raise LabError(
                f"{region}: what a killed update left cannot be mended, and the next would trip over it: `{shlex.join(command)}` "
                f"failed: {result.stderr.strip()}. Mend that, then: make up"
            )
        return result.stdout

    def _state(self, region: str) -> Path:
        """The file that holds the stack's state."""
        return self.home / "state" / ".pulumi" / "stacks" / PROJECT / f"{region}.json"

    def _settings(self, config: Mapping[str, object]) -> dict[str, dict[str, object]]:
        # served without a password
        repository: dict[str, object] = {"url": address(self.lab), "revision": BRANCH, "secret": None}
        argocd: dict[str, dict[str, object]] = {
            "argocd": {
                "manifest": str(sources.core_manifest(self.lab.cache)),
                "images": {"argocd": argocd_image(), "redis": REDIS},
                "imagePullPolicy": "IfNotPresent",
                # their kind alone is three quarters of the manifest, and two processors carry both regions
                "applicationSets": False,
            },
        }
        gateway: dict[str, dict[str, object]] = {
            "gateway": {
                # nothing here gives a LoadBalancer its address, for which Helm would wait
                "serviceType": "NodePort",
                # a sidecar's share of the processors: with a tenth of it requests have waited for 5 s on a lab that starts
                "values": {"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1"}}},
            }
        }
        istio: dict[str, object] = {
            "values": {
                "global": {"hub": HUB, "tag": istio_version(), "imagePullPolicy": "IfNotPresent"},
                # an upstream Envoy has none of Istio's own filters, so istiod must not ask for them
                "telemetry": {"enabled": False},
                "env": {"PILOT_ENABLE_ALPN_FILTER": "false", "PILOT_ENABLE_METADATA_EXCHANGE": "false"},
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
                "autoscaleEnabled": False,
            },
        }
        return {
            **({"repository": repository} if is_delivered_by_argocd(config) else {}),
            **(argocd if is_delivered_by_argocd(config) and _is_installed(config, "argocd") else {}),
            **(gateway if config.get(f"{PROJECT}:gateway") is not None else {}),
            "cluster": {"kubeconfig": str(self.lab.kubeconfig)},
            "istio": {
                "charts": str(sources.istio_charts(self.lab.cache)),
                "version": istio_version(),
                **(istio if _is_installed(config, "istio") else {}),
            },
        }

    def _salt(self, region: str) -> str:
        made = self.home / "project" / f"Pulumi.{region}.yaml"
        return str((YAML().load(made.read_text()) or {}).get("encryptionsalt", "")) if made.exists() else ""

    def process_environment(self) -> dict[str, str]:
        """The whole environment that the CLI runs in."""
        return {**os.environ, **self.environment(), "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def _install_language_host(self) -> None:
        official = shutil.which(LANGUAGE)
        if official is None:
            python = self.lab.virtual_environment / "bin" / "python"
            words = shlex.join([f"PYTHONPATH={self.lab.checkout}", str(python), "-m", "lab.language_host"])
            write(self.programs / LANGUAGE, f'#!/bin/sh\nexec env {words} "$@"\n', mode=0o755)
            return
        for program in Path(official).parent.glob(f"{LANGUAGE}*"):
            _copy(program, self.programs / program.name)

    def _install_provider(self) -> None:
        name = f"resource-kubernetes-v{importlib.metadata.version('pulumi-kubernetes')}"
        release = Path(os.environ.get("PULUMI_HOME", caller_home() / ".pulumi")) / "plugins" / name
        installed, ours = self.home / "home" / "plugins" / name, self.programs / PROVIDER
        if release.exists():
            ours.unlink(missing_ok=True)  # on PATH it would go before the other
            shutil.copytree(release, installed, copy_function=_copy, dirs_exist_ok=True)
            return
        if installed.exists():
            shutil.rmtree(installed)
        _copy(self.tools[PROVIDER], ours)


def is_delivered_by_argocd(config: Mapping[str, object]) -> bool:
    """Whether a stack file's `config` gives its workloads to Argo CD, alone or beside Pulumi; it does unless it says otherwise."""
    return config.get(f"{PROJECT}:delivery") != "direct"


def _is_installed(config: Mapping[str, object], part: str) -> bool:
    """Whether a stack file's `config` installs Istio or Argo CD; it does unless it says otherwise."""
    said = config.get(f"{PROJECT}:{part}")
    return not (isinstance(said, Mapping) and said.get("install") is False)


def merged(under: object, over: object) -> object:
    """Two values of a settings tree in one: mappings key by key, anything else replaced."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {**under, **{key: merged(under.get(key), value) for key, value in over.items()}}


def _stack_of(typed: Sequence[str]) -> str | None:
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("-s", "--stack", nargs="?")
    return options.parse_known_args(typed)[0].stack or os.environ.get("PULUMI_STACK")


def _copy(source: str | Path, target: str | Path) -> None:
    if Path(target).exists() and filecmp.cmp(source, target):
        return
    partial = Path(f"{target}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(source, partial)
    except OSError:  # another file system
        shutil.copy2(source, partial)
    partial.replace(target)


def _is_running(pid: object) -> bool:
    # a killed process that nobody has reaped yet keeps its name, not its command line
    return isinstance(pid, int) and "pulumi" in (command_line(pid) or [""])[0]
