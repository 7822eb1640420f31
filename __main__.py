"""Bring up one region: Istio, the service echo, the split of its traffic, and the client that measures it."""

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster import ClusterError, require_context
from components.config import ConfigError, load_stack_config
from components.echo import EchoNamespace
from components.istio import IstioInstall, IstioInstallArgs
from components.names import ECHO_HOST
from components.probe import EchoProbe, EchoProbeArgs
from components.workloads import echo_workloads

try:
    config = load_stack_config()
    require_context(config.cluster)
except (ConfigError, ClusterError) as error:
    raise pulumi.RunError(str(error)) from error

cluster = kubernetes.Provider(
    "cluster",
    context=config.cluster.context,
    # the provider takes another identifier for another cluster, and everything moves there; the same, for the same cluster
    cluster_identifier=config.cluster.context,
    # "" is the usual rules; None would be filled in with $KUBECONFIG, which ends up in the state and may not be a list
    kubeconfig=config.cluster.kubeconfig or "",
)


def after(*components: pulumi.Resource) -> pulumi.ResourceOptions:
    """Put a component on the cluster once all of the named ones are ready."""
    return pulumi.ResourceOptions(providers=[cluster], depends_on=[*components])


istio = IstioInstall("istio", IstioInstallArgs(config.region, config.mesh, config.istio), after())
namespace = EchoNamespace("echo", after(istio))
echo_workloads(config, after(namespace))
EchoProbe("probe", EchoProbeArgs(config.probe), after(istio))

pulumi.export("region", config.region)
pulumi.export("context", config.cluster.context)
pulumi.export("kubeconfig", config.cluster.kubeconfig)
pulumi.export("weights", config.echo.weights)
pulumi.export("images", config.echo.images)
pulumi.export("istio", config.istio.version)
pulumi.export("url", f"http://{ECHO_HOST}/")
pulumi.export("delivery", config.delivery)
