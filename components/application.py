"""The one Application that Argo CD delivers in a region: this region's overlay."""

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from components.names import ARGOCD_NAMESPACE, ECHO, ECHO_NAMESPACE, overlay, recommended_labels
from rules.facts.shapes import KINDS
from stackfile.model import RepositoryConfig

_API_VERSION = "argoproj.io/v1alpha1"
_CLUSTER = "https://kubernetes.default.svc"
_CASCADE = "resources-finalizer.argocd.argoproj.io"
_ALL_OR_NOTHING = {"argocd.argoproj.io/compare-options": "ServerSideDiff=true"}
"""Let the API server and Istio's webhook judge all of a commit before any of it is applied: Argo CD's own dry run asks neither, and
a commit of which one object is refused would be applied up to that object. The price: while the webhook is away, a commit waits
until Argo CD looks again."""
_SECRET_LABEL = "argocd.argoproj.io/secret-type"


@dataclass(frozen=True)
class EchoApplicationArgs:
    """Which overlay of which repository is delivered, by the Argo CD in which namespace, known once that is there.

    With `cascade` the workloads are deleted with the Application, without it they stay.
    """

    region: str
    repository: RepositoryConfig
    argocd: pulumi.Input[str]
    cascade: bool


class EchoApplication(pulumi.ComponentResource):
    """The Application that keeps the workloads of this region as the repository has them, and the AppProject that bounds it.

    Whatever a commit holds, nothing but the named kinds in the namespace of echo is changed by it.
    """

    def __init__(self, name: str, args: EchoApplicationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:argocd:EchoApplication", name, None, opts)
        needed: list[pulumi.Input[pulumi.Resource]] = [
            apiextensions.CustomResource(
                name,
                api_version=_API_VERSION,
                kind="AppProject",
                metadata=_metadata("project"),
                spec=_project(args.repository),
                opts=pulumi.ResourceOptions(parent=self),
            )
        ]
        if args.repository.secret:
            needed.append(self._secret(name, args.argocd, args.repository.secret))
        apiextensions.CustomResource(
            name,
            api_version=_API_VERSION,
            kind="Application",
            metadata=_metadata("application", _ALL_OR_NOTHING, [_CASCADE] if args.cascade else None),
            spec=_application(args),
            opts=pulumi.ResourceOptions(parent=self, depends_on=needed),
        )
        self.register_outputs({})

    def _secret(self, name: str, namespace: pulumi.Input[str], secret: str) -> pulumi.Output[pulumi.Resource]:
        """Look up the credentials: a missing Secret fails the update, where Argo CD would fail later."""
        found = core.Secret.get(
            f"{name}-repository",
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
    component: str, annotations: dict[str, str] | None = None, finalizers: list[str] | None = None
) -> meta.ObjectMetaArgs:
    return meta.ObjectMetaArgs(
        name=ECHO,
        namespace=ARGOCD_NAMESPACE,
        labels=recommended_labels(ECHO, ECHO, component),
        annotations=annotations,
        finalizers=finalizers,
    )


def _project(repository: RepositoryConfig) -> dict[str, Any]:
    return {
        "description": "the service echo of this region",
        "sourceRepos": [repository.url],
        "destinations": [{"server": _CLUSTER, "namespace": ECHO_NAMESPACE}],
        "clusterResourceWhitelist": [],
        "namespaceResourceWhitelist": [{"group": group, "kind": kind} for kind, (group, _) in KINDS.items()],
    }


def _application(args: EchoApplicationArgs) -> dict[str, Any]:
    return {
        "project": ECHO,
        "source": {
            "repoURL": args.repository.url,
            "targetRevision": args.repository.revision,
            "path": args.repository.path or overlay(args.region),
        },
        "destination": {"server": _CLUSTER, "namespace": ECHO_NAMESPACE},
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
