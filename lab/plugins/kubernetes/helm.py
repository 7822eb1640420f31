"""`helm.v3.Release` through Helm itself: the command lines, and a release as Pulumi's state."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import yaml

from lab.plugins.kubernetes import awaiting, decisions
from lab.plugins.kubernetes.awaiting import Operation
from lab.plugins.kubernetes.connection import Cluster, ProviderError
from lab.plugins.kubernetes.decisions import Difference, Object
from lab.plugins.kubernetes.objects import PartialError
from lab.plugins.kubernetes.values import UNKNOWN, Secret, has_unknown, plain, with_secrets_of

DEFAULT_TIMEOUT_SECONDS: Final = 300
"""How long Helm waits for a release's objects: the official provider's default."""
_STOPPING_SECONDS: Final = 8.0  # what Helm gets to record that it was stopped, before it is killed
# The inputs that are one flag of Helm, and the commands that know it.
_SWITCHES: Final = {
    "atomic": ("--atomic", "install upgrade"),
    "cleanupOnFail": ("--cleanup-on-fail", "upgrade"),
    "createNamespace": ("--create-namespace", "install"),
    "dependencyUpdate": ("--dependency-update", "install upgrade"),
    "devel": ("--devel", "install upgrade show"),
    "disableOpenapiValidation": ("--disable-openapi-validation", "install upgrade"),
    "disableWebhooks": ("--no-hooks", "install"),
    "forceUpdate": ("--force", "upgrade"),
    "renderSubchartNotes": ("--render-subchart-notes", "install upgrade"),
    "replace": ("--replace", "install"),
    "reuseValues": ("--reuse-values", "upgrade"),
    "skipCrds": ("--skip-crds", "install upgrade"),
    "takeOwnership": ("--take-ownership", "install upgrade"),
    "verify": ("--verify", "install upgrade show"),
    "waitForJobs": ("--wait-for-jobs", "install upgrade"),
}
_TEXTS: Final = {
    "description": ("--description", "install upgrade"),
    "keyring": ("--keyring", "install upgrade show"),
    "maxHistory": ("--history-max", "upgrade"),
    "version": ("--version", "install upgrade show"),
}
_REPOSITORY: Final = {"repo": "--repo", "caFile": "--ca-file", "certFile": "--cert-file", "keyFile": "--key-file"}
_OTHERS: Final = ("chart", "name", "namespace", "values", "timeout", "skipAwait", "repositoryOpts", "resetValues")
_ADVICE: Final = (
    ". Somebody else made it, or a run that was interrupted, so it was left alone. Adopt it with `pulumi import`, take it over by "
    "PULUMI_K8S_UPSERT_EXISTING_OBJECTS=true, or uninstall it."
)
_DROPPED: Final = ("resourceNames", "compat", "allowNullValues")  # they change nothing


class HelmError(ProviderError):
    """Helm said no; the message is Helm's own."""


def arguments(command: str, inputs: Object) -> list[str]:
    """Helm's arguments to `install`, `upgrade` or `show` a release of these inputs. Its values go to stdin."""
    chart, repository = inputs["chart"], inputs.get("repositoryOpts") or {}
    given = [key for key, value in inputs.items() if value]
    line = ["show", "chart", chart]
    if command != "show":
        line = [command, inputs["name"], chart, *_where(inputs["namespace"])]
    line += [flag for key, (flag, commands) in _SWITCHES.items() if key in given and command in commands]
    line += [
        f"{flag}={inputs[key]}" for key, (flag, commands) in _TEXTS.items() if key in given and command in commands
    ]
    line += [f"{flag}={repository[key]}" for key, flag in _REPOSITORY.items() if repository.get(key)]
    line += [] if command == "show" else ["--values=-", *_patience(inputs)]
    return [*line, "--reset-values"] if command == "upgrade" and not inputs.get("reuseValues") else line


def _where(namespace: str) -> list[str]:
    return ["--namespace", namespace or "default"]


def _patience(inputs: Object) -> list[str]:
    unawaited = inputs.get("skipAwait") and not inputs.get("atomic")
    return [f"--timeout={inputs.get('timeout') or DEFAULT_TIMEOUT_SECONDS}s", *([] if unawaited else ["--wait"])]


def resource_names(manifest: str) -> dict[str, list[str]]:
    """What a release made, as the official provider lists it: `{"Deployment.apps/apps/v1": ["namespace/name"]}`."""
    names: dict[str, set[str]] = {}
    for obj in yaml.load_all(manifest, Loader=yaml.CSafeLoader):
        if isinstance(obj, dict) and obj.get("kind"):
            group = decisions.group_kind(obj).partition("/")[0]
            key = f"{obj['kind']}{'.' if group else ''}{group}/{obj['apiVersion']}"
            names.setdefault(key, set()).add(decisions.identity(obj))
    return {key: sorted(found) for key, found in sorted(names.items())}


def release_state(inputs: Object, marks: Object, release: Object | None) -> Object:
    """A release's state: its inputs, and what Helm tells of it; without a release (a preview) that part is unknown."""
    told: Object = {"resourceNames": UNKNOWN, "status": UNKNOWN}
    if release is not None:
        keys = ("appVersion", "chart", "name", "namespace", "revision", "status", "version")
        told = {"resourceNames": resource_names(release["manifest"]), "status": {key: release.get(key) for key in keys}}
    state: Object = with_secrets_of(marks, inputs)
    return {**state, **told, "__inputs": Secret(state)}


@dataclasses.dataclass(frozen=True)
class Releases:
    """Helm releases as Pulumi resources. `cluster` connects when it is first called.

    All methods raise ProviderError; create and update raise PartialError if Helm recorded a release that is not well.
    """

    cluster: Callable[[], Cluster]
    upsert: bool
    stopped: threading.Event

    def check(self, _token: str, news: Object, olds: Object, proposed_name: str) -> Object:
        """The inputs as they will be kept: named, with namespace, timeout and the version that the chart has."""
        inputs = {key: value for key, value in plain(news).items() if value not in (None, False, "")}
        inputs = {key: value for key, value in inputs.items() if key not in _DROPPED}
        repository = inputs.get("repositoryOpts")
        refused = [key for key in inputs if key not in (*_SWITCHES, *_TEXTS, *_OTHERS)]
        refused += [key for key in repository if key not in _REPOSITORY] if isinstance(repository, dict) else []
        if refused:
            raise ProviderError(
                f"helm.v3.Release: the stand-in provider does not do {', '.join(sorted(refused))}, so the release would not be what was "
                "asked for. Use the official provider, or leave it out."
            )
        inputs.setdefault("name", plain(olds).get("name") or proposed_name)
        inputs.setdefault("namespace", self.cluster().target.namespace)
        if not inputs.get("skipAwait"):
            inputs.setdefault("timeout", DEFAULT_TIMEOUT_SECONDS)
        if not has_unknown(inputs):
            inputs["version"] = str(yaml.safe_load(self._chart(inputs))["version"])
        checked: Object = with_secrets_of(news, inputs)
        return checked

    def diff(self, state: Object, news: Object, ignore: Iterable[str]) -> Difference:
        """The difference between the old inputs and the new; another name or namespace is another release."""
        ignored, old = [decisions.parse_path(path) for path in ignore], plain(state.get("__inputs") or {})
        found = [change for change in decisions.changes(old, plain(news)) if change.path not in ignored]
        replaces: list[decisions.Path] = [change.path for change in found if change.path in (("name",), ("namespace",))]
        return Difference(found, replaces, delete_before_replace=False)

    def create(self, news: Object, operation: Operation) -> tuple[str, Object]:
        """Installs the release. Returns its id (empty in a preview) and state."""
        inputs = plain(news)
        if operation.preview:
            return "", release_state(inputs, news, None)
        return f"{inputs['namespace']}/{inputs['name']}", self._run(inputs, news, ours=self.upsert)

    def update(self, _state: Object, news: Object, operation: Operation) -> Object:
        """Upgrades the release, also one that failed or whose last operation was killed. Returns the new state."""
        inputs = plain(news)
        return release_state(inputs, news, None) if operation.preview else self._run(inputs, news, ours=True)

    def read(self, _token: str, name: str, _state: Object, inputs: Object) -> tuple[Object, Object] | None:
        """State and inputs of a release as Helm has it; None if there is none. Without inputs it is an import.

        Raises PartialError for a release that is not well, so that the next update repairs it.
        """
        namespace, _, own = name.rpartition("/")
        release = self._release(namespace, own)
        if release is None:
            return None
        given = {key: release[key] for key in ("name", "namespace", "chart", "version")}
        known = plain(inputs) or {**given, "timeout": DEFAULT_TIMEOUT_SECONDS}
        marked: Object = with_secrets_of(inputs, known)
        if (release["config"] or {}) != (known.get("values") or {}) and not known.get("reuseValues"):
            drifted = release["config"] or {}
            known, marked = {**known, "values": drifted}, {**marked, "values": Secret(drifted)}
        state = release_state(known, marked, release)
        if release["status"] != "deployed" and inputs:
            raise PartialError(f"Helm release {name} is {release['status']}", name, state, (), marked)
        return state, marked

    def delete(self, name: str, state: Object, _operation: Operation) -> None:
        """Uninstalls the release and waits for it; one that is gone already is fine."""
        namespace, _, own = name.rpartition("/")
        self._helm(["uninstall", own, *_where(namespace), "--ignore-not-found", *_patience(plain(state))])

    def _run(self, inputs: Object, news: Object, *, ours: bool) -> Object:
        namespace, name = inputs["namespace"], inputs["name"]
        if ours:
            self._forget_killed(namespace, name)
        before = self._release(namespace, name)
        command = "upgrade" if before and ours else "install"
        try:
            self._helm(arguments(command, inputs), json.dumps(inputs.get("values") or {}))
        except HelmError as no:
            release = self._release(namespace, name)
            if release is None or (before and release["revision"] == before["revision"]):
                advice = _ADVICE if before and not ours else ""
                raise HelmError(f"{command} of release {namespace}/{name}: {no}{advice}") from no
            reasons = [str(no), *awaiting.pod_problems(awaiting.pods_of_namespace(self.cluster(), namespace))]
            message = f"Helm release {namespace}/{name} is not well. What depends on it was left alone. Mend it, and run again."
            raise PartialError(message, f"{namespace}/{name}", release_state(inputs, news, release), reasons) from no
        return release_state(inputs, news, self._release(namespace, name))

    def _forget_killed(self, namespace: str, name: str) -> None:
        # Helm's record of an operation that was killed blocks every later one. Pulumi's lock says that nobody else is at it.
        labels = f"owner=helm,name={name},status in (pending-install,pending-upgrade,pending-rollback)"
        secrets = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace}}
        self.cluster().request("DELETE", self.cluster().url(secrets, named=False), {"labelSelector": labels})

    def _release(self, namespace: str, name: str) -> Object | None:
        try:
            status = json.loads(self._helm(["status", name, *_where(namespace), "--output=json"]))
            told = json.loads(self._helm(["get", "metadata", name, *_where(namespace), "--output=json"]))
        except HelmError as no:
            if "release: not found" in str(no):
                return None
            raise
        return {**told, "manifest": status.get("manifest", ""), "config": status.get("config")}

    def _chart(self, inputs: Object) -> str:
        """The chart's own description; a chart that is a folder needs no Helm to be read, which each preview would wait for."""
        local = pathlib.Path(inputs["chart"]) / "Chart.yaml"
        return (
            local.read_text()
            if "repositoryOpts" not in inputs and local.is_file()
            else self._helm(arguments("show", inputs))
        )

    def _helm(self, line: list[str], stdin: str = "") -> str:
        executable = os.environ.get("LAB_HELM") or shutil.which("helm")
        if not executable:
            raise HelmError("helm: not in $LAB_HELM and not on $PATH, so no release can be made. Install Helm 3.")
        needs_cluster = line[0] != "show"
        context = ["--kube-context", self.cluster().target.context] if needs_cluster else []
        document = self.cluster().target.document if needs_cluster else {}
        kubeconfig = os.memfd_create("kubeconfig")  # in memory only: a killed provider leaves no credentials behind
        try:
            os.fchmod(kubeconfig, 0o600)
            os.write(kubeconfig, json.dumps(document).encode())
            with subprocess.Popen(
                [executable, *line, *context],
                env={**os.environ, "KUBECONFIG": f"/proc/self/fd/{kubeconfig}"},
                pass_fds=(kubeconfig,),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                output, problems = self._communicate(process, stdin)
        finally:
            os.close(kubeconfig)
        if process.returncode:
            told = [text for text in problems.strip().splitlines() if not re.match(r"WARNING:|[WIE]\d{4} ", text)]
            ended = f"helm {line[0]} ended with code {process.returncode}"
            raise HelmError(" ".join(told).removeprefix("Error: ") or ended)
        return output

    def _communicate(self, process: subprocess.Popen[str], stdin: str) -> tuple[str, str]:
        given, deadline = stdin or None, float("inf")
        while True:
            try:
                return process.communicate(given, timeout=0.5)
            except subprocess.TimeoutExpired:
                given = None
            if time.monotonic() > deadline:
                process.kill()
            elif self.stopped.is_set() and deadline == float("inf"):
                deadline = time.monotonic() + _STOPPING_SECONDS
                process.terminate()
