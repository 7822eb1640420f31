"""Bring up one region: Istio, its gateway, the services' namespaces, the delivery and the probes."""

import pulumi
import pulumi_kubernetes as kubernetes

from components.access import RolloutAccess, RolloutAccessArgs
from components.argocd import ManifestError, read_manifest
from components.delivery import DeliveryError, deliver, installs, require_handover, require_retained, retained
from components.existing.cluster import (
    ClusterError,
    Connection,
    previous_outputs,
    provider_kubeconfig,
    require_context,
    require_same_cluster,
)
from components.existing.platform import require_usable
from components.existing.releases import failed_revisions, read_revisions, require_none_pending
from components.existing.safety import UnsafeError, require_fixed_files, require_safe
from components.existing.service import new_services
from components.existing.testers import read_secrets
from components.gateway import IngressGateway, IngressGatewayArgs, gateway_chart
from components.istio import BASE, ISTIOD, IstioInstall, IstioInstallArgs
from components.names import address, gateway_address
from components.namespace import ServiceNamespace
from components.probe import EchoProbe, EchoProbeArgs
from stackfile.model import ConfigError
from stackfile.reader import load_stack_config


async def bring_up() -> None:
    """Register the region, unless something that can be known before speaks against it."""
    try:
        config = load_stack_config()
        gitops = config.delivery != "direct"
        require_safe(config)
        require_context(config.cluster)
        previous, connection = await previous_outputs(), Connection(config.cluster)
        uid = require_same_cluster(connection, previous.get("cluster"))
        require_retained(previous, config)
        charts = [BASE, ISTIOD] if config.istio.install else []
        revisions = read_revisions(connection, charts + ([gateway_chart(config.gateway)] if config.gateway else []))
        require_none_pending(revisions, connection)
        require_fixed_files(connection, config)
        new = new_services(previous, config)
        require_usable(connection, config, new)
        testers = read_secrets(connection, config)
        manifest = read_manifest(config.argocd) if config.argocd.install and gitops else None
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
    # workloads that are to outlive their Application need their namespace, the gateway that clients come through, and Istio, which
    # enforces mutual TLS
    kept = gitops and not config.argocd.cascade
    here = pulumi.ResourceOptions(providers=[cluster], protect=kept)
    if config.istio.retain:
        here = pulumi.ResourceOptions(providers=[cluster], protect=False, transformations=[retained])
    failed = failed_revisions(revisions)
    istio: list[pulumi.Resource] = []
    if config.istio.install:
        istio = [IstioInstall("istio", IstioInstallArgs.of(config, failed), here)]
    meshed = pulumi.ResourceOptions(providers=[cluster], depends_on=istio)
    lasting = pulumi.ResourceOptions(providers=[cluster], depends_on=istio, protect=kept)
    names = dict.fromkeys(service.namespace for service in config.services.values())
    namespaces = [ServiceNamespace(name, lasting) for name in names]
    made: list[pulumi.Input[pulumi.Resource]] = [
        *namespaces,
        EchoProbe("probe", EchoProbeArgs(config.probe.image, outside=config.gateway is not None), meshed),
    ]
    if config.gateway:
        made.append(IngressGateway("gateway", IngressGatewayArgs.of(config, config.gateway, testers, failed), lasting))
    delivery = deliver(config, manifest, cluster, namespaces, [service.name for service in new])
    if config.access:
        # after the namespaces of all that it names: with the delivery there is that of Argo CD
        made.append(delivery.apply(lambda _: namespaces[0]))
        whole = pulumi.ResourceOptions(providers=[cluster], depends_on=made)
        RolloutAccess("access", RolloutAccessArgs.of(config), whole)

    pulumi.export("delivery", delivery)
    # like all outputs only exported once the one above is known: when all of it is on the cluster
    pulumi.export("installs", installs(config))
    pulumi.export("region", config.region)
    pulumi.export("cluster", uid)
    pulumi.export("context", config.cluster.context)
    pulumi.export("kubeconfig", config.cluster.kubeconfig)
    pulumi.export("istio", config.istio.version)
    pulumi.export("gateway", gateway_address(config.gateway.namespace) if config.gateway else None)
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
