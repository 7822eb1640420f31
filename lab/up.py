"""`up` and `down` of a whole lab: tools, images, two clusters side by side, and Pulumi's two stacks on them."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lab import mark
from lab.build import images, tools
from lab.build.store import ensure_store
from lab.delivery import application
from lab.delivery.remote import DAEMON, Commit, Remote, head
from lab.delivery.stacks import PROJECT, Stacks, is_delivered_by_argocd
from lab.machine import cgroups, debian, namespaces
from lab.machine.children import Children, CommandFailedError
from lab.machine.files import write
from lab.place import Lab
from lab.region import network
from lab.region.cluster import Cluster, forget_mount_point
from lab.region.components import kubeconfig, write_files
from lab.report import LabError, Report

REGIONS_FILE = ".regions.yaml"
_WRITTEN = "# Written by `lab up`, removed by `lab down`.\n"
_PULUMI_NOISE = re.compile(
    r"^(@ |Updating|\s*$)|^ [ +~-]{2,3}\S+:\S+ \S+ +(creating|updating|deleting|replacing|running)\b"
)


@dataclass(frozen=True)
class _StackFile:
    """What the lab has to know of a committed stack file."""

    images: list[str]
    probe_image: str
    by_argocd: bool
    prometheus: bool


@contextmanager
def locked(lab: Lab) -> Iterator[None]:
    """Hold the lab, whose folder is marked, for one command at a time.

    Raises:
        LabError: another command holds it.
    """
    with (lab.directory / mark.NAME).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                f"{lab.directory}: another `up` or `down` of this lab is at work; two at once would undo each other. Wait for it"
            ) from None
        yield


@contextmanager
def coming_up(lab: Lab) -> Iterator[None]:
    """Mark the lab's folder, made if it is not there, and hold the lab.

    Raises:
        LabError: the folder cannot be used, or another command holds the lab.
    """
    if obstacle := mark.obstacle(lab.directory):
        raise LabError(obstacle)
    mark.claim(lab.directory)
    with locked(lab):
        if not mark.is_up(lab.directory):
            mark.set_up(lab.directory, lab.id)
        yield


def delivered_regions(lab: Lab) -> set[str]:
    """Names of the regions whose workloads Argo CD applies, as the stack files say."""
    return {name for name, file in _stack_files(lab).items() if file.by_argocd}


def scraped_regions(lab: Lab) -> set[str]:
    """Names of the regions that have a Prometheus, as their stack files say by its Service."""
    return {name for name, file in _stack_files(lab).items() if file.prometheus}


def _apps(lab: Lab) -> images.Apps:
    """The images that the committed stack files name.

    Raises:
        LabError: they name more than one probe.
    """
    files = _stack_files(lab).values()
    probes, named = {file.probe_image for file in files}, {image for file in files for image in file.images}
    if len(probes) != 1:
        raise LabError(
            f"Pulumi.*.yaml: $.probe.image: {', '.join(sorted(probes))}: the lab builds one probe. Name the same in all"
        )
    echo, nginx = (
        {image for image in named if re.search(rf"/{program}:[^@]+$", image)} for program in ("echo", "nginx")
    )
    return images.Apps(echo, nginx, probes.pop(), any(file.prometheus for file in files))


def prepare(lab: Lab, report: Report) -> tuple[dict[str, Path], list[Path], Path | None, Stacks]:
    """See that tools, images, the store that a new region begins with, and Pulumi's plugins are there."""
    apps = _apps(lab)
    programs = tools.ensure(tools.lab_tools(apps.echo, apps.probe), lab.cache, report)
    archives = images.ensure_images(programs, apps, lab.cache, report)
    is_wanted = any(not (region.directory / "containerd").exists() for region in lab.regions)
    # only on one device can files of the cache be linked into the lab's folder
    is_wanted = is_wanted and lab.cache.stat().st_dev == lab.directory.stat().st_dev
    store = ensure_store(archives, lab.cache, report) if is_wanted else None
    return programs, archives, store, Stacks(lab, programs)


def up(lab: Lab, report: Report, regions: Collection[str], *, apply: bool = True) -> None:
    """Bring the lab up or repair it.

    Args:
        lab: which.
        report: is told each step.
        regions: names of the regions to bring up.
        apply: run `pulumi up` of each stack on its cluster.

    Raises:
        LabError: what could not be done.
    """
    file = regions_file(lab)
    if file.exists() and not file.read_text().startswith(_WRITTEN):
        raise LabError(f"{file}: the lab did not write it, and would write over it. Move it away, then: make up")
    debian.ensure_packages(report)
    by_argocd, scraped = delivered_regions(lab) & set(regions), scraped_regions(lab)
    if by_argocd and apply:
        head(lab.checkout)  # half an hour may go by before it is pushed
    programs, archives, images_store, stacks = prepare(lab, report)
    network.create_hub(lab)
    clusters = [Cluster(lab, region, programs) for region in lab.regions]
    for cluster in clusters:
        network.join(lab, cluster.region)
        cgroups.create(cluster.region.processes_cgroup)
        write_files(cluster.region)
    write_kubeconfig(lab, clusters)
    stacks.install()
    write_regions_file(lab, stacks)
    commit = deliver(Remote(lab), programs["kubectl"], report, push=apply) if by_argocd else None

    children = Children(signal.SIGINT)

    def bring_up(cluster: Cluster) -> None:
        def say(message: str) -> None:
            report(f"{cluster.region.name}: {message}")

        cluster.ensure(archives, images_store, say)
        say("cluster is ready")
        if apply:
            stacks.ensure(cluster.region.name)
            update(stacks, cluster.region.name, children, say)
        cluster.await_dns()
        if cluster.region.name in scraped:
            cluster.ensure_prometheus()
        if commit is not None and cluster.region.name in by_argocd:
            application.await_synced(cluster.kubectl, commit.id, say, cluster.stopped)

    with ThreadPoolExecutor() as pool:
        running = [pool.submit(bring_up, cluster) for cluster in clusters if cluster.region.name in regions]
        try:
            wait(running)
        except KeyboardInterrupt:
            for cluster in clusters:
                cluster.stopped.set()
            children.stop()
            raise
    failures = [error for future in running if (error := future.exception())]
    if failures:
        raise LabError("\n".join(str(error) for error in failures)) from failures[0]


def deliver(remote: Remote, kubectl: Path, report: Report, *, push: bool) -> Commit | None:
    """Serve the lab's Git, and push the commit that is checked out if asked to; that commit.

    Raises:
        LabError: what could not be done.
    """
    remote.make(kubectl)
    if remote.serve():
        report(f"started {DAEMON}")
    return remote.publish(report) if push else None


def update(stacks: Stacks, region: str, children: Children, report: Report) -> None:
    """Run `pulumi up` of one stack, its words reported as they come.

    Raises:
        LabError: it ended with another code than 0.
        InterruptedError: `children` were stopped.
    """
    for line in stacks.recover(region):
        report(line)

    def show(line: str) -> bool:
        if not _PULUMI_NOISE.search(line):
            report(line)
        return True

    quiet = ["--non-interactive", "--color=never", "--suppress-outputs", "--suppress-progress"]
    settings = f"--config-file={stacks.config_file(region)}"
    command = [str(stacks.programs / "pulumi"), "up", f"--stack={region}", "--yes", "--skip-preview", *quiet, settings]
    stacks.unfinished(region).touch()
    try:
        children.run(command, directory=stacks.lab.checkout, environment=stacks.process_environment(), progress=show)
        stacks.unfinished(region).unlink()
    except CommandFailedError:
        raise LabError(
            f"{region}: pulumi up failed; its words are above. What it had made is kept in the stack's state. "
            f"Mend the cause, then: make up"
        ) from None


def write_kubeconfig(lab: Lab, clusters: Collection[Cluster]) -> None:
    """One kubeconfig for people, Pulumi and rollout: a context each region, through its relay."""
    servers = {cluster.region: f"https://127.0.0.1:{cluster.relay_port()}" for cluster in clusters}
    write(lab.kubeconfig, json.dumps(kubeconfig(servers, "admin"), indent=1))


def regions_file(lab: Lab) -> Path:
    """The file that tells `rollout` where the lab's regions are; at the top of the checkout for the checkout's own lab."""
    return (lab.checkout if lab.is_checkouts_own else lab.directory) / REGIONS_FILE


def write_regions_file(lab: Lab, stacks: Stacks) -> None:
    """Tell `rollout` where the regions and the stacks' outputs are."""
    content = {
        "regions": {region.name: {"kubeconfig": str(lab.kubeconfig), "context": region.name} for region in lab.regions},
        "pulumi": {"path": str(stacks.programs), "environment": stacks.environment()},
        "remote": str(Remote(lab).repository),
    }
    text = io.StringIO()
    YAML().dump(content, text)
    write(regions_file(lab), _WRITTEN + text.getvalue(), mode=0o644)


def verify(lab: Lab, regions: Collection[str]) -> int:
    """Measure the split of these regions with `rollout verify`; its exit code."""
    python = lab.virtual_environment / "bin" / "python"
    command = [str(python), "-m", "rollout", "verify", "--regions-file", str(regions_file(lab))]
    # nothing else is sent yet, and twice the usual rate takes half the time
    command += ["--rate=1000", *(f"--region={region}" for region in regions)]
    # root may measure in a person's checkout: only this one is trusted, and only for reading
    trusted = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": str(lab.checkout)}
    return subprocess.run(command, cwd=lab.checkout, env={**os.environ, **trusted}, check=False).returncode


def how_to_change(lab: Lab) -> str:
    """How a person changes the weights of what this lab runs."""
    files = " or ".join(f"Pulumi.{name}.yaml" for name in sorted(delivered_regions(lab)))
    own = lab.is_checkouts_own
    apart = shlex.join(["--regions-file", str(regions_file(lab))])
    verify = "make verify" if own else f".venv/bin/python -m rollout verify {apart}"
    return "\n".join(
        [
            f"To change a weight, edit a service's versions in {files}, then:",
            "  make render",
            '  git commit -am "Shift the traffic"',
            f"  {Remote(lab).push_command()}",
            f"  {verify}",
        ]
    )


def down(lab: Lab, report: Report) -> None:
    """End and remove everything of the lab but its logs and the user's cache; safe to call at any time.

    Of a folder that no `up` has marked, no file is removed.

    Raises:
        LabError: another command holds the lab, or its folder is a copy of another's.
    """
    if original := mark.copied_from(lab.directory):
        raise LabError(
            f"{lab.directory}: it is a copy of {original}, whose lab is up, and no lab, so there is nothing to end. "
            f"Remove the copy: rm -r {shlex.quote(str(lab.directory))}"
        )
    if mark.is_marked(lab.directory):
        mark.claim(lab.directory)
        with locked(lab):
            _end(lab, report)
            _remove_files(lab)
            mark.set_down(lab.directory)
        report(f"nothing of the lab is left but its logs in {lab.logs} and the cache in {lab.cache}")
        return
    _end(lab, report)
    left = "there is no lab" if mark.is_free(lab.directory) else "it holds what no lab has made; none of it was removed"
    report(f"{lab.directory}: {left}, and no lab of this folder runs")


def _end(lab: Lab, report: Report) -> None:
    """End what runs, and remove what the machine and the checkout have of it."""
    for region in lab.regions:
        if cgroups.exists(region.cgroup) or namespaces.path(region.namespace).exists():
            Cluster(lab, region, {}).down()
            report(f"{region.name}: ended")
    namespaces.remove(lab.hub_namespace)
    cgroups.kill(lab.cgroup)
    cgroups.remove(lab.cgroup)
    cgroups.restore()
    Remote(lab).forget()
    file = regions_file(lab)
    if file.is_file() and file.read_text().startswith(_WRITTEN):
        file.unlink()
    forget_mount_point()
    namespaces.forget_mount()


def _remove_files(lab: Lab) -> None:
    folders = ["git", "pulumi", *(region.name for region in lab.regions)]
    for folder in [lab.directory / name for name in folders]:
        if folder.exists():
            shutil.rmtree(folder)
    lab.kubeconfig.unlink(missing_ok=True)


def _stack_files(lab: Lab) -> dict[str, _StackFile]:
    return {region.name: _stack_file(lab, region.name) for region in lab.regions}


def _stack_file(lab: Lab, region: str) -> _StackFile:
    file = lab.checkout / f"Pulumi.{region}.yaml"
    try:
        config = YAML(typ="safe").load(file.read_text())["config"]
        services, probe = config[f"{PROJECT}:services"], config[f"{PROJECT}:probe"]
        images = [str(version["image"]) for each in services.values() for version in each["versions"].values()]
        prometheus = ((config.get(f"{PROJECT}:metrics") or {}).get("prometheus") or {}).get("service")
        return _StackFile(images, str(probe["image"]), is_delivered_by_argocd(config), bool(prometheus))
    except (OSError, YAMLError, KeyError, TypeError, AttributeError) as error:
        raise LabError(
            f"{file.name}: {type(error).__name__}: {error}: the lab cannot tell which images to make. A stack file needs "
            f"`config` with $.services.*.versions.*.image and $.probe.image; `git diff {file.name}` shows what was changed"
        ) from None
