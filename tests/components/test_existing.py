"""Most clusters have an Istio and an Argo CD already, of another version or set otherwise than the rules take for granted.

`install: false` uses what is there, and stops before anything is registered where the split or mutual TLS does not rest on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.existing.cluster import Connection
from components.existing.platform import require_usable
from components.existing.safety import UnsafeError
from components.existing.service import new_services
from stackfile.model import ClusterConfig, RegionConfig
from tests.components import existing
from tests.components.api_server import ApiServer, api_server
from tests.components.existing import ENABLED, ISTIOD, SETTINGS, SYSTEM, WEBHOOKS, items, webhook, workload
from tests.components.graph import STACK_FILES, Graph, World, attempt, record, record_stack, run_main, stack_config
from tests.stackfile.stack_values import MINIMAL, problems, with_value

FOUND: dict[str, Any] = {"istio": {"install": False}}
ARGOCD: dict[str, Any] = {"argocd": {"install": False}}
INJECTOR = SYSTEM.format("istio-sidecar-injector")
MESH = SYSTEM.format("istio")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A cluster with an Istio and an Argo CD that are as they should be."""
    with api_server() as served:
        monkeypatch.setenv("KUBECONFIG", str(served.kubeconfig(tmp_path / "kubeconfig", "region-a")))
        served.existing = existing.istio() | existing.argocd()
        yield served


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    return said


def stack_with(**changed: Any) -> dict[str, str]:
    """The shipped stack with these values; what concerns an installation is left out where there is none."""
    config = stack_config(STACK_FILES[0], **changed)
    if changed.get("argocd", {}).get("install") is False:
        config["echo-rollout:argocd"] = '{"install": false}'
    return config


def bring_up(world: World | None = None, **changed: Any) -> Graph:
    graph, error = attempt(run_main, stack_with(**changed), world=world)
    assert error is None, error
    return graph


def look(preview: bool = False, new: bool = False, **changed: Any) -> None:
    """Look at what is there, and nothing more of the program."""
    config = RegionConfig.parse({**MINIMAL, "gateway": {}, **changed}, region="region-a", source="")
    connection = Connection(ClusterConfig(context="region-a"))
    before = {"services": {} if new else config.services}
    record(
        lambda: require_usable(connection, config, new_services(before, config)),
        world=World(preview=preview),
    )


def refused(preview: bool = False, new: bool = False, **changed: Any) -> list[str]:
    """The lines of what speaks against it."""
    with pytest.raises(UnsafeError) as caught:
        look(preview, new, **changed)
    return str(caught.value).splitlines()


def refusals(world: World | None = None, **changed: Any) -> list[str]:
    """The lines with which the program ends before it has registered anything."""
    graph, error = attempt(run_main, stack_with(**changed), world=world)
    assert isinstance(error, pulumi.RunError)
    assert sorted(node.kind for node in graph) == ["Stack"]
    return str(error).splitlines()


# --- what is used is not installed


def kinds(graph: Graph) -> set[str]:
    return {f"{node.kind} {node.name}" for node in graph}


def test_an_istio_that_is_there_is_used_and_not_installed(server: ApiServer, warnings: list[str]) -> None:
    installed, used = record_stack(STACK_FILES[0]), bring_up(**FOUND)
    gone = {"IstioInstall istio", "Namespace istio-system", "Release istio-base", "Release istio-istiod"}
    assert (kinds(installed) - kinds(used), kinds(used) - kinds(installed)) == (gone, set())
    assert used.outputs["installs"] == {"istio": False, "argocd": True}
    assert warnings == []


def test_an_argo_cd_that_is_there_is_used_and_not_installed(server: ApiServer, warnings: list[str]) -> None:
    installed, used = record_stack(STACK_FILES[0]), bring_up(argocd={"install": False})
    argocd = installed.the("ArgoCdInstall", "argocd").urn
    below = {node.urn for node in installed if argocd in (node.urn, node.parent)}
    below |= {node.urn for node in installed if node.parent in below}
    assert {node.urn for node in installed} - {node.urn for node in used} == below
    assert used.the("Application", "echo").inputs == installed.the("Application", "echo").inputs
    assert used.outputs["installs"] == {"istio": True, "argocd": False}
    assert warnings == []


def test_pulumi_itself_delivers_without_a_look_at_argo_cd(server: ApiServer) -> None:
    server.existing = {}
    assert bring_up(delivery="direct", argocd={"install": False}).outputs["installs"]["argocd"] is False


def test_the_gateways_release_is_still_looked_for(server: ApiServer) -> None:
    server.ingress = [("istio-ingress", 1, "failed")]
    assert "revision 1" in bring_up(**FOUND).the("Release", "gateway").inputs["description"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("istio.values", {"a": 1}), ("argocd.manifest", "/install.yaml"), ("argocd.images", {}), ("istio.retain", True)],
)
def test_a_setting_of_an_installation_is_refused_without_one(setting: str, value: object) -> None:
    values = with_value(setting, value)
    values[setting.partition(".")[0]]["install"] = False
    assert problems(values) == (
        f"Pulumi.region-a.yaml: $.{setting}: has no effect with install: false — the program changes nothing of what is there; "
        "leave it out",
    )


def test_what_speaks_against_it_ends_the_program_before_anything_is_registered(server: ApiServer) -> None:
    server.existing[ISTIOD], server.existing[existing.DEPLOYMENTS] = items(), items()
    graph, error = attempt(run_main, stack_with(**FOUND, **ARGOCD))
    assert isinstance(error, pulumi.RunError)
    assert sorted(node.kind for node in graph) == ["Stack"]
    assert [each.split(": ")[0] for each in str(error).splitlines()] == [
        "Deployment istio-system/istiod",
        "argocd-repo-server in argocd",
    ]


# --- to let go of what the stack installed


@pytest.mark.parametrize(
    ("outputs", "part", "refused"),
    [
        ({"region": "region-a"}, "istio", True),
        ({"region": "region-a"}, "argocd", False),
        ({"delivery": "gitops"}, "argocd", True),
        ({"delivery": "direct"}, "istio", True),
        ({"installs": {"istio": True, "argocd": True}}, "istio", True),
        ({"installs": {"istio": True, "argocd": True}}, "argocd", True),
        ({"installs": {"istio": False, "argocd": False}}, "istio", False),
        ({"installs": {"istio": False, "argocd": False}, "delivery": "gitops"}, "argocd", False),
        ({}, "istio", False),
    ],
)
def test_what_a_stack_installed_is_not_let_go_of_at_once(
    server: ApiServer, outputs: dict[str, Any], part: str, refused: bool
) -> None:
    world = World(outputs=outputs)
    if not refused:
        bring_up(world, **{part: {"install": False}})
        return
    (said,) = refusals(world, **{part: {"install": False}})
    assert said.startswith(f"{part}.install: false cannot follow an update that installed it — Pulumi would delete ")
    assert f"; set {part}.retain: true in its place, run pulumi up, and only then set {part}.install: false" in said


@pytest.mark.parametrize(("part", "component"), [("istio", "IstioInstall istio"), ("argocd", "ArgoCdInstall argocd")])
def test_what_is_retained_is_marked_with_all_its_objects_and_nothing_else(
    server: ApiServer, part: str, component: str
) -> None:
    before, graph = record_stack(STACK_FILES[0]), record_stack(STACK_FILES[0], None, **{part: {"retain": True}})
    top = graph.the(*component.split())
    below = {top.urn}
    for _ in range(3):
        below |= {node.urn for node in graph if node.parent in below}
    assert {node.urn for node in graph if node.retained} == below
    # Pulumi refuses to let go of what is protected, retained or not
    assert [node.name for node in graph if node.retained and node.protected] == []
    protected = {node.urn for node in before if node.protected}
    assert {node.urn for node in graph if node.protected} == protected - below
    assert graph.outputs["installs"][part] is False


def test_an_update_that_fails_tells_nothing_of_what_is_retained(server: ApiServer) -> None:
    graph, error = attempt(run_main, stack_with(istio={"retain": True}), world=World(refused="Release"))
    assert error is not None
    assert [urn for urn in graph.finished if "::pulumi:pulumi:Stack::" in urn] == []


# --- Istio


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_all_that_is_missing_of_istio_is_told_at_once(server: ApiServer, preview: bool) -> None:
    empty = (WEBHOOKS, ISTIOD, MESH, INJECTOR)
    server.existing = {"/apis": {"groups": []}, **dict.fromkeys(empty, items())}
    assert [each.split(" — ")[0] for each in refused(preview, **FOUND)] == [
        "networking.istio.io/v1 DestinationRule: the cluster does not have this kind",
        "networking.istio.io/v1 VirtualService: the cluster does not have this kind",
        "networking.istio.io/v1 Gateway: the cluster does not have this kind",
        "security.istio.io/v1 PeerAuthentication: the cluster does not have this kind",
        "MutatingWebhookConfigurations: none puts sidecars into the pods of a namespace with the label istio-injection=enabled",
        "Deployment istio-system/istiod: is not there",
        "ConfigMap istio-system/istio: has no mesh that can be read",
        "ConfigMap istio-system/istio-sidecar-injector: has no values that can be read",
    ]


@pytest.mark.parametrize(
    ("image", "ready", "said"),
    [
        ("registry.corp.local:5000/pilot:1.31.9", 1, []),
        ("pilot:1.31.1@sha256:" + "0" * 64, 1, []),
        (
            "pilot:v1.30.2-debug",
            1,
            [
                "Deployment istio-system/istiod: it is version 1.30.2, and istio.version is 1.31.1 — the rules judge by that version, "
                "and the gateway's proxy would be of it; set istio.version: 1.30.2"
            ],
        ),
        (
            "pilot:1.31.1",
            0,
            [
                "Deployment istio-system/istiod: has no ready pod — no change of the split would reach the proxies, and no pod would "
                "start; bring Istio up, or leave istio.install out"
            ],
        ),
    ],
)
def test_istiod_is_ready_and_of_the_version_that_is_expected(
    server: ApiServer, image: str, ready: int, said: list[str]
) -> None:
    server.existing[ISTIOD] = items(workload("istiod", image, "discovery", ready))
    if said:
        assert refused(**FOUND) == said
    else:
        look(**FOUND)


@pytest.mark.parametrize("image", ["pilot:latest", "registry.corp.local:5000/pilot", "pilot@sha256:" + "0" * 64])
def test_a_tag_that_tells_no_version_is_warned_of(server: ApiServer, warnings: list[str], image: str) -> None:
    server.existing[ISTIOD] = items(workload("istiod", image, "discovery"))
    look(**FOUND)
    assert warnings == [
        f"Deployment istio-system/istiod: the tag of {image} tells no version — the rules judge by istio.version, 1.31.1; see that "
        "it is that version"
    ]


@pytest.mark.parametrize(
    ("path", "answer", "where", "what"),
    [
        (
            MESH,
            existing.mesh(trustDomain="b.local"),
            "istio: mesh.trustDomain",
            "b.local takes the place of mesh.trustDomain",
        ),
        (
            MESH,
            existing.config_map(mesh=""),
            "istio: mesh.trustDomain",
            "cluster.local takes the place of mesh.trustDomain",
        ),
        (
            MESH,
            existing.mesh(enableAutoMtls=False),
            "istio: mesh.enableAutoMtls",
            "with false, clients send plain text",
        ),
        (
            MESH,
            existing.mesh(defaultVirtualServiceExportTo=["."]),
            "istio: mesh.defaultVirtualServiceExportTo",
            "with ['.'], clients of other namespaces do not see the split",
        ),
        (
            INJECTOR,
            existing.injector("global.network", "network-b"),
            "istio-sidecar-injector: values.global.network",
            "network-b takes the place of mesh.network, network-a",
        ),
        (
            INJECTOR,
            existing.injector("global.proxy.autoInject", "disabled"),
            "istio-sidecar-injector: values.global.proxy.autoInject",
            "with disabled, no pod gets a sidecar any more",
        ),
        (
            INJECTOR,
            existing.injector("sidecarInjectorWebhook.rewriteAppHTTPProbe", False),
            "istio-sidecar-injector: values.sidecarInjectorWebhook.rewriteAppHTTPProbe",
            "with false, the kubelet's probes",
        ),
    ],
)
def test_a_setting_that_the_split_rests_on_is_judged_as_helm_values_are(
    server: ApiServer, path: str, answer: object, where: str, what: str
) -> None:
    server.existing[path] = answer
    (said,) = refused(**FOUND)
    assert said.startswith(f"region-a: ConfigMap istio-system/{where}: {what}")
    assert said.endswith(
        " — another mesh runs than the one that the stack file says and the rules judge; change it there, or the setting of the stack "
        "file that it contradicts [helm-values-keep-the-mesh]"
    )


def test_sidecars_that_end_before_their_pods_last_requests_are_refused(server: ApiServer) -> None:
    image = "pilot:1.31.1"
    server.existing[ISTIOD] = items(workload("istiod", image, "discovery", ENABLE_NATIVE_SIDECARS="false"))
    (said,) = refused(**FOUND)
    assert said.startswith(
        "region-a: Deployment istio-system/istiod: env ENABLE_NATIVE_SIDECARS: with false, sidecars are ord"
    )


def test_a_waiver_holds_for_what_is_found_too(server: ApiServer, warnings: list[str]) -> None:
    server.existing[MESH] = existing.mesh(enableAutoMtls=False)
    look(**FOUND, rules={"waived": {"helm-values-keep-the-mesh": "each client has its own rule"}})
    (said,) = [each for each in warnings if "enableAutoMtls" in each]
    assert said.endswith("(waived: each client has its own rule)")


@pytest.mark.parametrize("key", ["global.network", "global.meshID", "global.multiCluster.clusterName"])
def test_a_name_that_nobody_gave_contradicts_nothing(server: ApiServer, warnings: list[str], key: str) -> None:
    server.existing[INJECTOR] = existing.injector(key, "")
    look(**FOUND)
    assert warnings == []


def test_another_name_of_the_cluster_and_what_istiod_does_not_see_are_doubts(
    server: ApiServer, warnings: list[str]
) -> None:
    server.existing[INJECTOR] = existing.injector("global.multiCluster.clusterName", "cluster-1")
    server.existing[MESH] = existing.mesh(discoverySelectors=[{"matchLabels": {"team": "a"}}])
    look(**FOUND)
    assert [each.split(", ")[0] for each in warnings] == [
        "ConfigMap istio-system/istio-sidecar-injector: values.global.multiCluster.clusterName: this cluster is cluster-1 in the mesh",
        "region-a: ConfigMap istio-system/istio: mesh.discoverySelectors: with [{'matchLabels': {'team': 'a'}}]",
    ]


# --- who injects


@pytest.mark.parametrize(
    "expression",
    [
        {"key": "istio-injection", "operator": "NotIn", "values": ["disabled"]},
        {"key": "istio-injection", "operator": "Exists"},
        {"key": "istio.io/rev", "operator": "DoesNotExist"},
    ],
)
def test_whatever_selects_the_services_namespaces_injects(server: ApiServer, expression: dict[str, Any]) -> None:
    server.existing[WEBHOOKS] = items(webhook(expression))
    look(**FOUND)


def test_an_injector_that_asks_for_a_label_on_the_pods_is_none(server: ApiServer) -> None:
    asking = webhook(ENABLED)
    asking["webhooks"][0]["objectSelector"] = {"matchLabels": {"sidecar.istio.io/inject": "true"}}
    server.existing[WEBHOOKS] = items(asking, {"metadata": {"name": "of-somebody-else"}})
    (said,) = refused(**FOUND)
    assert said.startswith("MutatingWebhookConfigurations: none puts sidecars into the pods")


def test_a_revision_that_is_the_default_is_looked_at_by_its_own_names(server: ApiServer) -> None:
    server.existing[WEBHOOKS] = items(webhook(ENABLED, "istiod-canary"))
    for path in (ISTIOD, MESH, INJECTOR):
        server.existing[f"{path}-canary"] = server.existing.pop(path)
    server.existing[f"{INJECTOR}-canary"] = existing.injector("revision", "canary")
    look(**FOUND)


def test_pods_that_may_start_without_a_sidecar_are_warned_of(server: ApiServer, warnings: list[str]) -> None:
    server.existing[WEBHOOKS] = items(webhook(ENABLED, policy="Ignore"))
    look(**FOUND)
    assert [each.split(" — ")[0] for each in warnings] == [
        "MutatingWebhookConfiguration istio-sidecar-injector: its failurePolicy is Ignore"
    ]


# --- who may not see it


@pytest.mark.parametrize("path", [WEBHOOKS, ISTIOD, MESH, INJECTOR])
def test_what_the_user_may_not_see_stops_an_update_and_not_a_preview(
    server: ApiServer, warnings: list[str], path: str
) -> None:
    server.forbidden = [path]
    resource = path.partition("?")[0].rpartition("/")[2]
    (said,) = refused(**FOUND)
    assert f": the user may not list {resource} — the split and mutual TLS may rest on what is not seen here" in said
    look(preview=True, **FOUND)
    assert warnings == [said]


# --- Argo CD


def test_all_that_is_missing_of_argo_cd_is_told_at_once(server: ApiServer) -> None:
    server.existing = {"/apis": {"groups": []}}
    server.existing |= dict.fromkeys((existing.STATEFUL_SETS, existing.DEPLOYMENTS, SETTINGS), items())
    assert [each.split(" — ")[0] for each in refused(**ARGOCD)] == [
        "argoproj.io/v1alpha1 Application: the cluster does not have this kind",
        "argoproj.io/v1alpha1 AppProject: the cluster does not have this kind",
        "argocd-application-controller in argocd: is not there",
        "argocd-repo-server in argocd: is not there",
    ]


@pytest.mark.parametrize(
    ("tag", "ready", "said"),
    [
        (":v2.9.22", 1, "it is version 2.9 — it does not know ServerSideDiff=true"),
        (":v3.5.7", 0, "has no ready pod — nothing of this region would be delivered"),
    ],
)
def test_the_controller_is_ready_and_knows_what_is_asked_of_it(
    server: ApiServer, tag: str, ready: int, said: str
) -> None:
    controller = workload("argocd-application-controller", f"quay.io/argoproj/argocd{tag}", "controller", ready)
    server.existing[existing.STATEFUL_SETS] = items(controller)
    (found,) = refused(**ARGOCD)
    assert found.startswith(f"StatefulSet argocd/argocd-application-controller: {said}")


def test_an_argo_cd_whose_tag_tells_no_version_is_warned_of(server: ApiServer, warnings: list[str]) -> None:
    server.existing[existing.DEPLOYMENTS] = items(workload("argocd-repo-server", "a:5000/argocd@sha256:0", "x"))
    look(**ARGOCD)
    assert [each.split(" — ")[0] for each in warnings] == [
        "Deployment argocd/argocd-repo-server: the tag of a:5000/argocd tells no version"
    ]


EXCLUDED = "[{apiGroups: ['*'], kinds: [Endpoints]}, {apiGroups: [networking.*], kinds: ['*'], clusters: ['*']}]"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cluster.inClusterEnabled": "false"}, ["cluster.inClusterEnabled: is false"]),
        ({"kustomize.enable": "false"}, ["kustomize.enable: is false"]),
        ({"application.resourceTrackingMethod": "label"}, ["application.resourceTrackingMethod: is label"]),
        ({"application.sync.impersonation.enabled": "true"}, ["application.sync.impersonation.enabled: is true"]),
        (
            {"resource.exclusions": EXCLUDED},
            ["resource.exclusions: leaves out DestinationRule", "resource.exclusions: leaves out VirtualService"],
        ),
        (
            {"resource.inclusions": "[{apiGroups: ['', apps, '*istio.io']}]"},
            ["resource.inclusions: leaves out PodDisruptionBudget"],
        ),
        (
            {
                "resource.customizations.ignoreDifferences.networking.istio.io_VirtualService": "jsonPointers: [/spec/http]"
            },
            [
                "resource.customizations.ignoreDifferences.networking.istio.io_VirtualService: ignores differences in /spec/http",
            ],
        ),
        (
            {"resource.customizations.ignoreDifferences.all": "jqPathExpressions: [.spec.replicas]"},
            ["resource.customizations.ignoreDifferences.all: ignores differences in .spec.replicas"],
        ),
        (
            {"resource.customizations": "apps/*: {ignoreDifferences: 'jsonPointers: [/spec/replicas]'}"},
            ["resource.customizations.apps/*: ignores differences in /spec/replicas"],
        ),
    ],
)
def test_a_setting_that_delivery_rests_on_is_refused(
    server: ApiServer, settings: dict[str, str], said: list[str]
) -> None:
    server.existing |= existing.argocd(**settings)
    assert [each.split(" — ")[0] for each in refused(**ARGOCD)] == [
        f"ConfigMap argocd/argocd-cm: {each}" for each in said
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"application.resourceTrackingMethod": "annotation+label", "timeout.reconciliation": "60s"},
        {"application.sync.impersonation.enabled": "true", "application.sync.impersonation.enforced": "false"},
        {"resource.exclusions": "[{apiGroups: ['*'], kinds: ['*'], clusters: ['https://10.0.0.1']}]"},
        {"resource.inclusions": "[{apiGroups: ['*'], kinds: ['*']}]"},
        {"resource.customizations.ignoreDifferences.argoproj.io_Rollout": "jsonPointers: [/spec/replicas]"},
        {"resource.customizations.health.all": "return {}", "resource.exclusions": "[{"},
    ],
)
def test_other_settings_are_nobodys_business(server: ApiServer, warnings: list[str], settings: dict[str, str]) -> None:
    server.existing |= existing.argocd(**settings)
    look(**ARGOCD)
    assert warnings == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"timeout.reconciliation": "0s"}, "timeout.reconciliation: is 0s"),
        (
            {"resource.customizations.ignoreDifferences.all": "managedFieldsManagers: [kube-controller-manager]"},
            "resource.customizations.ignoreDifferences.all: ignores differences in what kube-controller-manager sets",
        ),
    ],
)
def test_a_setting_that_may_be_right_is_warned_of(
    server: ApiServer, warnings: list[str], settings: dict[str, str], said: str
) -> None:
    server.existing |= existing.argocd(**settings)
    look(**ARGOCD)
    assert [each.split(" — ")[0] for each in warnings] == [f"ConfigMap argocd/argocd-cm: {said}"]


def test_an_argo_cd_that_tracks_by_label_where_nothing_is_set_is_refused(server: ApiServer) -> None:
    for path, name in (
        (existing.STATEFUL_SETS, "argocd-application-controller"),
        (existing.DEPLOYMENTS, "argocd-repo-server"),
    ):
        server.existing[path] = items(workload(name, "quay.io/argoproj/argocd:v2.14.1", "x"))
    assert [each.split(" — ")[0] for each in refused(**ARGOCD)] == [
        "ConfigMap argocd/argocd-cm: application.resourceTrackingMethod: is label"
    ]


def test_names_and_objects_of_other_applications_are_left_to_them(server: ApiServer) -> None:
    ours = {"app.kubernetes.io/managed-by": "echo-rollout"}
    server.existing[existing.APPLICATIONS] = items(
        existing.application("echo"),
        existing.application("web", ("Service", "echo", "echo"), ("Service", "web", "web")),
        existing.application("of-this-program", ("Service", "echo", "echo"), labels=ours),
    )
    server.existing[existing.PROJECTS] = items(existing.application("echo"), existing.application("default"))
    assert [each.split(" — ")[0] for each in refused(**ARGOCD)] == [
        "Application argocd/echo: is there, and not of this program",
        "Application argocd/web: delivers Service echo/echo already",
        "AppProject argocd/echo: is there, and not of this program",
    ]


# --- a service that runs

SERVICE = "/api/v1/namespaces/echo/services?fieldSelector=metadata.name%3Decho"
DEPLOYMENTS = "/apis/apps/v1/namespaces/echo/deployments"
ROUTES = "/apis/networking.istio.io/v1/namespaces/echo/virtualservices"
RULES = "/apis/networking.istio.io/v1/namespaces/echo/destinationrules"
TAKEN: dict[str, Any] = {"delivery": "handover"}
OURS = {"app.kubernetes.io/managed-by": "echo-rollout"}


def by_hand(name: str, labels: dict[str, str] | None = None, **spec: object) -> dict[str, object]:
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def serve(server: ApiServer, **changed: Any) -> None:
    """Have a service of that name run, made by hand as a hand-over needs it but for what is changed."""
    spec = {"selector": {"app": "echo"}, "ports": [{"port": 80, "name": "http", "targetPort": "http"}, {"port": 90}]}
    server.existing[SERVICE] = items(by_hand("echo", **spec | changed))
    server.existing[DEPLOYMENTS] = items(by_hand("echo", selector={"matchLabels": {"app": "echo"}}))
    server.existing[ROUTES] = server.existing[RULES] = items()


def test_a_service_that_is_as_the_stack_file_has_it_is_taken_over(server: ApiServer) -> None:
    serve(server)
    look(new=True, **TAKEN)


@pytest.mark.parametrize("delivery", ["gitops", "direct"])
def test_a_service_that_runs_is_taken_over_by_a_hand_over_only(server: ApiServer, delivery: str) -> None:
    serve(server)
    (said,) = refused(new=True, delivery=delivery)
    assert said.startswith("Service echo/echo: is there, and not of this program — ")
    look(new=False, delivery=delivery)
    server.existing[SERVICE] = items(by_hand("echo", OURS))
    look(new=True, delivery=delivery)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"selector": {"app": "echo", "tier": "web"}}, "selects its pods by app=echo,tier=web, not by app=echo"),
        ({"selector": None}, "selects its pods by nothing, not by app=echo"),
        (
            {"ports": [{"port": 80, "name": "http", "targetPort": 8080}]},
            "has no port 80 that is called http and leads to the containers' port http",
        ),
        ({"ports": [{"port": 8080, "name": "http", "targetPort": "http"}]}, "has no port 80 that is called http"),
    ],
)
def test_a_service_that_would_lose_its_pods_is_refused(server: ApiServer, changed: dict[str, Any], said: str) -> None:
    serve(server, **changed)
    (found,) = refused(new=True, **TAKEN)
    assert found.startswith(f"Service echo/echo: {said}")


def test_a_deployment_that_would_be_made_anew_is_refused(server: ApiServer) -> None:
    serve(server)
    same = by_hand("echo-v1", selector={"matchLabels": {"app": "echo", "version": "v1"}})
    server.existing[DEPLOYMENTS] = items(same, by_hand("echo-v2", selector={"matchLabels": {"app": "echo"}}))
    (said,) = refused(new=True, **TAKEN)
    assert said.startswith("Deployment echo/echo-v2: selects its pods by app=echo, not by app=echo,version=v2 — ")


def test_routes_that_would_be_two_or_lead_nowhere_are_refused(server: ApiServer) -> None:
    serve(server)
    server.existing[ROUTES] = items(
        by_hand("old", hosts=["echo.echo"]), by_hand("other", hosts=["other"]), by_hand("ours", OURS, hosts=["echo"])
    )
    subsets = [{"name": "v1"}, {"name": "stable"}]
    server.existing[RULES] = items(by_hand("echo", host="echo.echo.svc.cluster.local", subsets=subsets))
    assert [each.split(" — ")[0] for each in refused(new=True, **TAKEN)] == [
        "VirtualService echo/old: is of echo too",
        "DestinationRule echo/echo: has the subsets stable, and the stack file has no such versions",
    ]


def test_before_istio_is_there_nobody_asks_for_its_objects(server: ApiServer) -> None:
    serve(server)
    server.existing["/apis"] = {"groups": []}
    server.forbidden = [ROUTES, RULES]
    look(new=True, **TAKEN)


@pytest.mark.parametrize(("known", "forced"), [(False, True), (True, False)])
def test_of_what_is_new_to_the_stack_a_hand_over_takes_every_field(
    server: ApiServer, known: bool, forced: bool
) -> None:
    server.existing[ROUTES] = server.existing[RULES] = items()
    world = World({"delivery": "handover", "services": {"echo": {}} if known else {}})
    graph = record_stack(STACK_FILES[0], world, delivery="handover")
    annotations = graph.the("Service", "echo").metadata.get("annotations") or {}
    assert ("pulumi.com/patchForce" in annotations) is forced
    assert graph.the("Service", "echo").retained
