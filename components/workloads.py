"""What runs as echo and how it is reached: the objects that Pulumi applies itself, or that are rendered for Argo CD."""

import pulumi

from components.echo import EchoDeployments, EchoDeploymentsArgs
from components.traffic import TrafficPolicy, TrafficPolicyArgs
from stackfile.model import RegionConfig


def echo_workloads(config: RegionConfig, opts: pulumi.ResourceOptions) -> list[pulumi.ComponentResource]:
    """Build the workloads and, once they are ready, the split of their traffic; `opts` hold for both."""
    deployments = EchoDeployments("echo", EchoDeploymentsArgs(config.region, config.echo.versions), opts)
    after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[deployments]))
    return [deployments, TrafficPolicy("echo", TrafficPolicyArgs(config.echo), after)]
