"""The stand-in kubernetes provider under the real Pulumi command line, on the real API server."""

from __future__ import annotations

import base64
import json
import pathlib
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from kubernetes import client, config

from tests.e2e.pulumi_program import Program, pulumi_program

__all__ = ["pulumi_program"]

pytestmark = pytest.mark.e2e

DEADLINE_SECONDS = 60
NEVER_PULLED = "registry.corp.local/there-is-no-such-image:0"


class Region(Protocol):
    """What these tests need of a cluster."""

    kubeconfig: pathlib.Path
    context: str


@pytest.fixture
def api(region: Region) -> Any:
    connect: Any = config.new_client_from_config
    return connect(str(region.kubeconfig), region.context)


@pytest.fixture
def core(api: Any) -> Any:
    return client.CoreV1Api(api)


@pytest.fixture
def namespace(core: Any) -> Iterator[str]:
    name = f"provider-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


@pytest.fixture
def program_of(region: Region, namespace: str, pulumi_program: Callable[[str], Program]) -> Callable[[str], Program]:
    """Makes a program of the resources in its text, which may use `on` (options) and `metadata(name)`."""
    return lambda body: pulumi_program(with_header(body, region, namespace))


@pytest.fixture
def source(region: Region, namespace: str) -> Callable[[str], str]:
    return lambda body: with_header(body, region, namespace)


def with_header(body: str, region: Region, namespace: str) -> str:
    return f"""
import pulumi
import pulumi_kubernetes as k8s

cluster = k8s.Provider("cluster", kubeconfig={str(region.kubeconfig)!r}, context={region.context!r})
on = pulumi.ResourceOptions(provider=cluster)

def metadata(name, **annotations):
    named = {{f"pulumi.com/{{key}}": value for key, value in annotations.items()}}
    return {{"name": name, "namespace": {namespace!r}, "annotations": named}}

{body}
"""


def config_map(value: str, **annotations: str) -> str:
    return f"k8s.core.v1.ConfigMap('settings', metadata=metadata('settings', **{annotations!r}), data={{'a': {value!r}}}, opts=on)"


def deployment(*, image: str = NEVER_PULLED, replicas: int, app: str = "app", seconds: int = 600) -> str:
    return f"""
k8s.apps.v1.Deployment(
    "app",
    metadata=metadata("app", timeoutSeconds="{seconds}"),
    spec={{
        "replicas": {replicas},
        "selector": {{"matchLabels": {{"app": {app!r}}}}},
        "template": {{
            "metadata": {{"labels": {{"app": {app!r}}}}},
            "spec": {{"containers": [{{"name": "app", "image": {image!r}, "resources": {{"requests": {{"cpu": "1000m"}}}}}}]}},
        }},
    }},
    opts=on,
)
"""


def eventually(holds: Callable[[], Any]) -> Any:
    """Waits for a condition, and fails if it does not come true."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come true in time"
        threading.Event().wait(0.1)
    return found


def test_up_creates_what_the_program_says_and_a_second_up_changes_nothing(
    program_of: Callable[[str], Program], core: Any, namespace: str
) -> None:
    program = program_of(config_map("1") + "\n" + deployment(replicas=0))

    first, second = program.up(), program.up()

    assert first.code == 0, first.text
    assert core.read_namespaced_config_map("settings", namespace).data == {"a": "1"}
    assert "unchanged" in second.text, second.text
    assert "updated" not in second.text, second.text


def test_preview_creates_nothing(program_of: Callable[[str], Program], core: Any, namespace: str) -> None:
    steps = program_of(config_map("1")).preview()

    assert steps["settings"] == "create"
    assert "settings" not in [found.metadata.name for found in core.list_namespaced_config_map(namespace).items]


def test_preview_refuses_what_the_api_server_would_refuse(program_of: Callable[[str], Program]) -> None:
    bad = 'k8s.core.v1.Service("bad", metadata=metadata("bad"), spec={"ports": [{"port": 70000}]}, opts=on)'

    preview = program_of(bad).pulumi("preview")

    assert preview.code != 0
    assert "must be between 1 and 65535" in preview.text, preview.text


def test_a_refresh_shows_drift_and_the_next_up_mends_it(
    program_of: Callable[[str], Program], core: Any, namespace: str
) -> None:
    body = 'k8s.core.v1.ServiceAccount("who", metadata={**metadata("who"), "labels": {"team": "ours"}}, opts=on)'
    program = program_of(body)
    assert program.up().code == 0
    core.patch_namespaced_service_account("who", namespace, {"metadata": {"labels": {"team": "theirs"}}})

    refreshed = program.refresh()
    steps = program.preview()

    assert refreshed.code == 0, refreshed.text
    assert steps["who"] == "update"


def test_a_field_that_leaves_the_program_leaves_the_object(
    program_of: Callable[[str], Program], source: Callable[[str], str], core: Any, namespace: str
) -> None:
    with_label = (
        'k8s.core.v1.ServiceAccount("who", metadata={**metadata("who"), "labels": {"keep": "1", "go": "1"}}, opts=on)'
    )
    program = program_of(with_label)
    assert program.up().code == 0

    updated = program.up(source(with_label.replace(', "go": "1"', "")))

    assert updated.code == 0, updated.text
    assert core.read_namespaced_service_account("who", namespace).metadata.labels == {"keep": "1"}


def test_a_changed_selector_replaces_the_deployment(
    program_of: Callable[[str], Program], source: Callable[[str], str], api: Any, namespace: str
) -> None:
    program = program_of(deployment(replicas=0, app="one"))
    assert program.up().code == 0
    changed = source(deployment(replicas=0, app="two"))

    steps = program.preview(changed)
    replaced = program.up()

    assert steps["app"] == "replace"
    assert replaced.code == 0, replaced.text
    live: Any = client.AppsV1Api(api).read_namespaced_deployment("app", namespace)
    assert live.spec.selector.match_labels == {"app": "two"}


def test_an_autonamed_config_map_is_replaced_under_a_new_name(
    program_of: Callable[[str], Program], source: Callable[[str], str], namespace: str
) -> None:
    body = f"""
settings = k8s.core.v1.ConfigMap("settings", metadata={{"namespace": {namespace!r}}}, data={{"a": "1"}}, opts=on)
pulumi.export("name", settings.metadata.name)
"""
    program = program_of(body)
    assert program.up().code == 0
    before = program.outputs()["name"]

    replaced = program.up(source(body.replace('"1"', '"2"')))

    assert replaced.code == 0, replaced.text
    assert before != program.outputs()["name"]
    assert program.outputs()["name"].startswith("settings-")


def test_destroy_waits_until_a_namespace_is_gone(
    program_of: Callable[[str], Program], core: Any, namespace: str
) -> None:
    name = f"{namespace}-more"
    program = program_of(f'k8s.core.v1.Namespace("more", metadata={{"name": {name!r}}}, opts=on)')
    assert program.up().code == 0

    destroyed = program.destroy()

    assert destroyed.code == 0, destroyed.text
    assert name not in [found.metadata.name for found in core.list_namespace().items]


def test_destroy_does_not_mind_what_is_gone_already(
    program_of: Callable[[str], Program], core: Any, namespace: str
) -> None:
    program = program_of(config_map("1"))
    assert program.up().code == 0
    core.delete_namespaced_config_map("settings", namespace)

    destroyed = program.destroy()

    assert destroyed.code == 0, destroyed.text


def test_up_waits_for_what_an_object_asks_to_be_waited_for(
    program_of: Callable[[str], Program], core: Any, namespace: str
) -> None:
    program = program_of(config_map("1", waitFor="jsonpath={.data.told}=now"))
    with started(program, "up", "--yes", "--skip-preview") as process:
        eventually(lambda: config_maps(core, namespace))
        waiting = process.poll() is None
        core.patch_namespaced_config_map("settings", namespace, {"data": {"told": "now"}})
        text, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert waiting
    assert process.returncode == 0, text


def test_a_deployment_that_does_not_come_up_fails_with_its_pods_reason_and_stays_in_the_state(
    program_of: Callable[[str], Program],
) -> None:
    program = program_of(deployment(replicas=1, seconds=8))

    failed = program.up()

    assert failed.code != 0
    assert "it was not ready after 8 s" in failed.text, failed.text
    assert "pod app-" in failed.text, failed.text
    assert program.resources()["app"]["initErrors"]


def test_what_failed_to_come_up_is_repaired_by_the_next_up(
    program_of: Callable[[str], Program], source: Callable[[str], str]
) -> None:
    program = program_of(deployment(replicas=1, seconds=3))
    assert program.up().code != 0

    repaired = program.up(source(deployment(replicas=0, seconds=3)))

    assert repaired.code == 0, repaired.text
    assert not program.resources()["app"].get("initErrors")


def test_an_update_whose_command_line_is_killed_is_recovered(
    program_of: Callable[[str], Program], source: Callable[[str], str], api: Any, namespace: str
) -> None:
    program = program_of(deployment(replicas=0))
    assert program.up().code == 0
    apps: Any = client.AppsV1Api(api)
    program.write(source(deployment(replicas=1)))
    with started(program, "up", "--yes", "--skip-preview") as process:
        eventually(lambda: apps.read_namespaced_deployment("app", namespace).spec.replicas == 1)
        providers = children_of(process.pid)
        process.kill()
        process.communicate()
    eventually(lambda: not any(is_running(pid) for pid in providers))

    cancelled = program.pulumi("cancel", "--yes")
    refreshed = program.refresh()
    recovered = program.up(source(deployment(replicas=0)))

    assert cancelled.code == 0, cancelled.text
    assert refreshed.code == 0, refreshed.text
    assert recovered.code == 0, recovered.text
    assert apps.read_namespaced_deployment("app", namespace).spec.replicas == 0


def test_a_create_whose_command_line_is_killed_is_taken_over_where_that_is_allowed(
    program_of: Callable[[str], Program], core: Any, namespace: str
) -> None:
    program = program_of(config_map("1", waitFor="jsonpath={.data.told}=now"))
    with started(program, "up", "--yes", "--skip-preview") as process:
        eventually(lambda: config_maps(core, namespace))
        process.kill()
        process.communicate()
    core.patch_namespaced_config_map("settings", namespace, {"data": {"told": "now"}})
    program.pulumi("cancel", "--yes")

    refused = program.up()
    program.environment["PULUMI_K8S_UPSERT_EXISTING_OBJECTS"] = "true"
    allowed = program.up()

    assert "already exists" in refused.text, refused.text
    assert allowed.code == 0, allowed.text


def test_ctrl_c_ends_a_waiting_update_without_leftovers(
    program_of: Callable[[str], Program], api: Any, namespace: str
) -> None:
    program = program_of(deployment(replicas=1))
    with started(program, "up", "--yes", "--skip-preview") as process:
        eventually(lambda: client.AppsV1Api(api).list_namespaced_deployment(namespace).items)
        providers = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode != 0
    assert "cancelled" in text, text
    eventually(lambda: not any(is_running(pid) for pid in providers))
    assert program.resources()["app"]["initErrors"]


def test_secrets_are_not_in_the_state_in_plain_text(program_of: Callable[[str], Program]) -> None:
    password = f"hunter2-{uuid.uuid4().hex}"
    program = program_of(
        f'k8s.core.v1.Secret("s", metadata=metadata("s"), string_data={{"pw": {password!r}}}, opts=on)'
    )

    created, refreshed = program.up(), program.refresh()

    assert created.code == 0, created.text
    assert refreshed.code == 0, refreshed.text
    state = program.state_text()
    assert '"data"' in json.dumps(program.resources()["s"])
    assert password not in state
    assert base64.b64encode(password.encode()).decode() not in state


def test_a_custom_resource_may_be_made_in_the_same_run_as_its_definition(
    program_of: Callable[[str], Program], namespace: str
) -> None:
    group = f"{namespace}.corp.local"
    schema = '{"type": "object", "x_kubernetes_preserve_unknown_fields": True}'
    body = f"""
k8s.apiextensions.v1.CustomResourceDefinition("things", metadata={{"name": "things.{group}"}}, spec={{
    "group": {group!r}, "scope": "Namespaced", "names": {{"plural": "things", "kind": "Thing"}},
    "versions": [{{"name": "v1", "served": True, "storage": True, "schema": {{"openAPIV3Schema": {schema}}}}}]}}, opts=on)
k8s.apiextensions.CustomResource("thing", api_version="{group}/v1", kind="Thing", metadata=metadata("thing"),
    spec={{"weight": 90}}, opts=on)
"""
    program = program_of(body)

    created, again = program.up(), program.preview()

    assert created.code == 0, created.text
    assert set(again.values()) == {"same"}, again


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("context='nowhere'", "there is no context 'nowhere'"),
        ("kubeconfig='/nowhere/kubeconfig'", "no such file"),
    ],
)
def test_a_cluster_that_is_not_configured_is_named_in_one_message(
    pulumi_program: Callable[[str], Program], region: Region, broken: str, told: str
) -> None:
    settings = {"kubeconfig": repr(str(region.kubeconfig)), "context": repr(region.context)}
    name, _, value = broken.partition("=")
    arguments = ", ".join(f"{key}={text}" for key, text in {**settings, name: value}.items())
    objects = "\n".join(f'k8s.core.v1.Namespace("n{n}", opts=pulumi.ResourceOptions(provider=p))' for n in range(3))
    header = f"import pulumi, pulumi_kubernetes as k8s\np = k8s.Provider('p', {arguments})\n"

    preview = pulumi_program(header + objects).pulumi("preview")

    assert preview.code != 0
    assert told in preview.text, preview.text


def test_an_unreachable_cluster_is_named_with_its_address(
    pulumi_program: Callable[[str], Program], tmp_path: pathlib.Path
) -> None:
    entries = {"name": "away", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "away", "context": {"cluster": "away", "user": "away"}}
    kubeconfig = {"clusters": [entries], "contexts": [context], "users": [{"name": "away", "user": {"token": "t"}}]}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    body = "k8s.core.v1.Namespace('n', opts=pulumi.ResourceOptions(provider=p))"
    header = (
        f"import pulumi, pulumi_kubernetes as k8s\np = k8s.Provider('p', kubeconfig={str(path)!r}, context='away')\n"
    )

    preview = pulumi_program(header + body).pulumi("preview")

    assert preview.code != 0
    assert "https://127.0.0.1:1 does not answer" in preview.text, preview.text


def config_maps(core: Any, namespace: str) -> list[str]:
    names = [found.metadata.name for found in core.list_namespaced_config_map(namespace).items]
    return [name for name in names if name == "settings"]


def started(program: Program, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        program.command(*arguments),
        cwd=program.directory,
        env=program.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children_of(pid: int) -> list[int]:
    """All processes under this one."""
    parents = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.parent.name)] = int(fields[1])
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [grandchild for child in found for grandchild in children_of(child)]


def is_running(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
