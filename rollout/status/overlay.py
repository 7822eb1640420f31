"""The weights that a commit says: read from the overlay in the project's repository, as it was at that commit."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from components.names import ECHO
from rollout.cluster.application import Application
from rollout.git.command import git, said
from rollout.plan.manifests import file_name
from rollout.problem import Problem, RolloutError

VIRTUAL_SERVICE = file_name("VirtualService", ECHO)

_COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"
_WHY = "a share is judged against the weights that Argo CD last synced, those of the overlay at that commit"


def synced_weights(project: Path, application: Application) -> dict[str, int]:
    """The weights, whole percents by version, of the overlay at the commit that Argo CD last synced.

    Args:
        project: A directory in a clone of the Application's repository.
        application: The region's Application.

    Raises:
        RolloutError: it was never synced, the commit is not in this clone or cannot be read, or what is there is no
            VirtualService that splits all requests.
    """
    revision = application.synced_revision
    if revision is None:
        said = "; ".join(application.complaints) or f"sync {application.sync}, health {application.health}"
        raise RolloutError(
            Problem(
                f"Application {application.name} was never synced: {said}",
                _WHY,
                f"see that {application.target_revision} of {application.repository} can be read and has "
                f"{application.path} (in the lab: git push lab)",
            )
        )
    path = str(PurePosixPath(application.path, VIRTUAL_SERVICE))
    return parse_weights(read_file(project, revision, path), f"{path} at {revision}")


def read_file(project: Path, revision: str, path: str) -> str:
    """A file's text at a commit, from the local clone; asks no remote. Takes some ten milliseconds.

    A clone that belongs to another user is refused as git refuses it: its configuration could name programs to run.

    Args:
        project: A directory in the clone.
        revision: A commit's full hash.
        path: From the top of the repository.

    Raises:
        RolloutError: there is no git, no repository, no such commit in it, or no such file in the commit.
    """
    if not re.fullmatch(_COMMIT, revision):
        raise RolloutError(
            Problem(
                f"the revision {revision!r} is not a commit's hash",
                _WHY,
                "let the Application follow a branch of this project's Git repository",
            )
        )
    top = git(project, "rev-parse", "--absolute-git-dir", why=_WHY)
    if top.returncode != 0:
        raise RolloutError(
            Problem(
                f"{project} is not a Git repository that can be read: {said(top)}",
                _WHY,
                "run this in a clone of the repository that Argo CD reads; if it belongs to another user, do what git says",
            )
        )
    if git(project, "cat-file", "-e", f"{revision}^{{commit}}", why=_WHY).returncode != 0:
        raise RolloutError(
            Problem(
                f"the commit {revision}, which Argo CD last synced, is not in the repository of {project}",
                _WHY,
                "fetch it: git fetch --all",
            )
        )
    shown = git(project, "show", f"{revision}:{path}", why=_WHY)
    if shown.returncode != 0:
        raise RolloutError(
            Problem(
                f"{path} cannot be read at {revision}: {said(shown)}",
                _WHY,
                "see that the Application's path is that of the region's overlay, and that it was rendered and committed",
            )
        )
    return shown.stdout


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Destination(_Part):
    subset: str


class _Route(_Part):
    destination: _Destination
    weight: Annotated[int, Field(ge=0, le=100)]


class _Http(_Part):
    route: list[_Route]


class _Spec(_Part):
    # with more than one, which of them a request takes depends on the request
    http: Annotated[list[_Http], Field(min_length=1, max_length=1)]


class _VirtualService(_Part):
    spec: _Spec


def parse_weights(text: str, source: str) -> dict[str, int]:
    """The weights, whole percents by subset, of a VirtualService with one HTTP route.

    Args:
        text: Its YAML.
        source: Where that is from, for the messages.

    Raises:
        RolloutError: it is no such VirtualService, or the weights do not sum to 100; all problems together.
    """
    try:
        spec = _VirtualService.model_validate(YAML(typ="safe", pure=True).load(text)).spec
    except YAMLError as error:
        raise RolloutError(_unusable(source, " ".join(str(error).split()))) from error
    except ValidationError as error:
        raise RolloutError(
            *(_unusable(source, f"{'.'.join(['$', *map(str, part['loc'])])}: {part['msg']}") for part in error.errors())
        ) from error
    routes = spec.http[0].route
    weights = {route.destination.subset: route.weight for route in routes}
    if len(weights) != len(routes) or sum(weights.values()) != 100:
        split = " + ".join(f"{route.destination.subset} {route.weight}" for route in routes)
        raise RolloutError(_unusable(source, f"$.spec.http.0.route: {split or 'nothing'} is no split of 100 percent"))
    return weights


def _unusable(source: str, what: str) -> Problem:
    return Problem(f"{source}: {what}", _WHY, "render the overlay anew (make render), commit it and let it sync")
