"""What Argo CD delivers in a region: an Application for each service, of its overlay, and the AppProject that bounds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from components.names import ARGOCD_NAMESPACE, overlay, recommended_labels
from rules.facts.shapes import KINDS
from stackfile.model import RepositoryConfig, ServiceConfig

_API_VERSION = "argoproj.io/v1alpha1"
_CLUSTER = "https://kubernetes.default.svc"
_CASCADE = "resources-finalizer.argocd.argoproj.io"
_ALL_OR_NOTHING = {"argocd.argoproj.io/compare-options": "ServerSideDiff=true"}
"""Let the API server and Istio's webhook judge all of a commit before any of it is applied: Argo CD's own dry run asks neither, and
a commit of which one object is refused would be applied up to that object. The price: while the webhook is away, a commit waits
until Argo CD looks again."""
_SECRET_LABEL = "argocd.argoproj.io/secret-type"


@dataclass(frozen=True)
class ApplicationsArgs:
    """Which services' overlays of which repository are delivered, by the Argo CD in which namespace, known once that is there.

    `project` is the AppProject's name. With `cascade` the workloads are deleted with their Application, without it they stay.
    """

    region: str
    services: Sequence[ServiceConfig]
    project: str
    repository: RepositoryConfig
    argocd: pulumi.Input[str]
    cascade: bool


class Applications(pulumi.ComponentResource):
    """The Applications that keep the services of this region as the repository has them, and the AppProject that bounds them.

    Whatever a commit holds, nothing but the named kinds in the namespaces of the services is changed by it.
    """

    def __init__(self, name: str, args: ApplicationsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        # what it was while there was one service
        alone = pulumi.Alias(type_="echo-rollout:argocd:EchoApplication", name="echo")
        aliased = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(aliases=[alone]))
        super().__init__("echo-rollout:argocd:Applications", name, None, aliased)
        needed: list[pulumi.Input[pulumi.Resource]] = [
            apiextensions.CustomResource(
                args.project,
                api_version=_API_VERSION,
                kind="AppProject",
                metadata=_metadata(args.project, "project"),
                spec=_project(args),
                opts=pulumi.ResourceOptions(parent=self),
            )
        ]
        if args.repository.secret:
            needed.append(self._secret(args.argocd, args.repository.secret))
        for service in args.services:
            apiextensions.CustomResource(
                service.name,
                api_version=_API_VERSION,
                kind="Application",
                metadata=_metadata(service.name, "application", _ALL_OR_NOTHING, [_CASCADE] if args.cascade else None),
                spec=_application(args, service),
                opts=pulumi.ResourceOptions(parent=self, depends_on=needed),
            )
        self.register_outputs({})

    def _secret(self, namespace: pulumi.Input[str], secret: str) -> pulumi.Output[pulumi.Resource]:
        """Look up the credentials: a missing Secret fails the update, where Argo CD would fail later."""
        found = core.Secret.get(
            "echo-repository",
            # not known while there is no such namespace: a first preview cannot find what can only be made after it
            pulumi.Output.concat(namespace, "/", secret),
            opts=pulumi.ResourceOptions(parent=self),
        )

        def labelled(metadata: meta.outputs.ObjectMeta) -> pulumi.Resource:
            if (metadata.labels or {}).get(_SECRET_LABEL) != "repository":
                raise pulumi.RunError(
                    f'repository.secret "{secret}" has not the label {_SECRET_LABEL}: repository — Argo CD would not see it, and '
                    f"could not read the repository; kubectl -n {ARGOCD_NAMESPACE} label secret {secret} {_SECRET_LABEL}=repository"
                )
            return found

        return found.metadata.apply(labelled)


def _metadata(
    name: str, component: str, annotations: dict[str, str] | None = None, finalizers: list[str] | None = None
) -> meta.ObjectMetaArgs:
    return meta.ObjectMetaArgs(
        name=name,
        namespace=ARGOCD_NAMESPACE,
        labels=recommended_labels(name, name, component),
        annotations=annotations,
        finalizers=finalizers,
    )


def _project(args: ApplicationsArgs) -> dict[str, Any]:
    namespaces = dict.fromkeys(service.namespace for service in args.services)
    return {
        "description": "the services of this region",
        "sourceRepos": [args.repository.url],
        "destinations": [{"server": _CLUSTER, "namespace": namespace} for namespace in namespaces],
        "clusterResourceWhitelist": [],
        "namespaceResourceWhitelist": [{"group": group, "kind": kind} for kind, (group, _) in KINDS.items()],
    }


def _application(args: ApplicationsArgs, service: ServiceConfig) -> dict[str, Any]:
    return {
        "project": args.project,
        "source": {
            "repoURL": args.repository.url,
            "targetRevision": args.repository.revision,
            "path": overlay(args.region, service),
        },
        "destination": {"server": _CLUSTER, "namespace": service.namespace},
        "syncPolicy": {
            "automated": {"prune": True, "selfHeal": True},
            "syncOptions": ["ServerSideApply=true", "ApplyOutOfSyncOnly=true", "PruneLast=true"],
            "retry": {
                # the next commit takes the place of one that fails, at the next attempt: so attempts are never far apart
                "refresh": True,
                "backoff": {"duration": "1s", "factor": 2, "maxDuration": "5s"},
                # five minutes, more than istiod or the API server are away for. Not for ever: a sync that is tried again keeps
                # the path and the branch that it began with, whatever the Application says by now
                "limit": 60,
            },
        },
    }
