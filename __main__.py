"""Bring up one region: Istio, the services' namespaces, whoever delivers their workloads, and the client that measures them."""

import pulumi
import pulumi_kubernetes as kubernetes

from components.argocd import ManifestError, read_manifest
from components.cluster import (
    ClusterError,
    Connection,
    previous_outputs,
    provider_kubeconfig,
    require_context,
    require_same_cluster,
)
from components.delivery import DeliveryError, deliver, require_handover
from components.istio import IstioInstall, IstioInstallArgs, failed_revisions, read_revisions, require_none_pending
from components.names import address
from components.namespace import ServiceNamespace
from components.probe import EchoProbe
from components.safety import UnsafeError, require_safe
from stackfile.model import ConfigError
from stackfile.reader import load_stack_config


async def bring_up() -> None:
    """Register the region, unless something that can be known before speaks against it."""
    try:
        config = load_stack_config()
        require_safe(config)
        require_context(config.cluster)
        previous, connection = await previous_outputs(), Connection(config.cluster)
        uid = require_same_cluster(connection, previous.get("cluster"))
        revisions = read_revisions(connection)
        require_none_pending(revisions, connection)
        manifest = None if config.delivery == "direct" else read_manifest(config.argocd)
        require_handover(previous.get("delivery"), config.delivery)
    except (ConfigError, UnsafeError, ClusterError, ManifestError, DeliveryError) as error:
        raise pulumi.RunError(str(error)) from error

    cluster = kubernetes.Provider(
        "cluster",
        context=config.cluster.context,
        # the provider takes another identifier for another cluster, and would make everything anew; a stack that came up keeps its own
        cluster_identifier=uid,
        kubeconfig=provider_kubeconfig(config.cluster),
        # what is there already may be the other side's, and is then held by both
        upsert_existing_objects=True if config.delivery == "handover" else None,
        opts=pulumi.ResourceOptions(ignore_changes=["clusterIdentifier"] if previous else None),
    )
    # workloads that are to outlive their Application need their namespace, and Istio, which enforces mutual TLS
    kept = config.delivery != "direct" and not config.argocd.cascade
    here = pulumi.ResourceOptions(providers=[cluster], protect=kept)
    istio = IstioInstall(
        "istio", IstioInstallArgs(config.region, config.mesh, config.istio, failed_revisions(revisions)), here
    )
    meshed = pulumi.ResourceOptions(providers=[cluster], depends_on=[istio])
    owned = pulumi.ResourceOptions(providers=[cluster], depends_on=[istio], protect=kept)
    names = dict.fromkeys(service.namespace for service in config.services.values())
    namespaces = [ServiceNamespace(name, owned) for name in names]
    EchoProbe("probe", config.probe, meshed)

    pulumi.export("delivery", deliver(config, manifest, cluster, namespaces))
    pulumi.export("region", config.region)
    pulumi.export("cluster", uid)
    pulumi.export("context", config.cluster.context)
    pulumi.export("kubeconfig", config.cluster.kubeconfig)
    pulumi.export("istio", config.istio.version)
    gitops = config.delivery != "direct"
    pulumi.export(
        "services",
        {
            name: {
                "url": address(service).url,
                "namespace": service.namespace,
                "port": service.port,
                "hosts": service.hosts,
                "weights": service.weights,
                "images": service.images,
                "application": address(service).application if gitops else None,
                "versionHeader": service.version_header,
                "requests": [each.model_dump(by_alias=True) for each in service.requests],
            }
            for name, service in config.services.items()
        },
    )


pulumi.run(bring_up)
