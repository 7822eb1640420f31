"""What a region's stack says that it brought up: weights, address, and who delivers."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from components.names import ServiceAddress
from rollout.access import PulumiAccess, RegionAccess
from rollout.problem import Problem, RolloutError, TransientError
from stackfile.model import RequestConfig

_TIMEOUT_SECONDS = 60.0
_STDERR_CHARACTERS = 500

_WHY = "a share is judged against the weights that the stack last brought up, not those that a file may say by now"


class ServiceOutputs(BaseModel):
    """What a verification needs to know of a service.

    Attributes:
        weights: Whole percents by version; they sum to 100. As old as the stack's last `up`.
        url: Where a client in the region's mesh finds it.
        namespace: Where its objects are.
        port: The port of its Service.
        hosts: The names by which clients outside the mesh ask for it.
        requests: The kinds of requests that it is measured with.
        version_header: The header by which answers name the version that was asked, where Pulumi applies the routes; "" for none.
        application: Argo CD's Application that delivers the weights of the overlay instead, as `namespace/name`; None
            where Pulumi itself applies them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    weights: dict[str, Annotated[int, Field(ge=0, le=100)]]
    url: str
    namespace: str
    port: int
    hosts: tuple[str, ...] = ()
    application: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")] | None = None
    version_header: str = ""
    requests: tuple[RequestConfig, ...] = (RequestConfig(),)

    @field_validator("weights")
    @classmethod
    def _sum_to_100(cls, weights: dict[str, int]) -> dict[str, int]:
        if sum(weights.values()) != 100:
            raise ValueError(f"{weights} sums to {sum(weights.values())}, not to 100")
        return weights

    def address(self, name: str) -> ServiceAddress:
        """Where clients find it, by its name."""
        return ServiceAddress(name, self.namespace, self.port, self.hosts)


class StackOutputs(BaseModel):
    """The outputs that a verification needs.

    Attributes:
        region: The region's name as its pods know it.
        services: By name.
        gateway: Where a client outside the mesh connects to the ingress gateway, as host:port; None where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    region: str
    services: dict[str, ServiceOutputs]
    gateway: str | None = None

    def service(self, name: str, region: RegionAccess) -> ServiceOutputs:
        """What is up of a service.

        Raises:
            RolloutError: the stack has not brought it up.
        """
        if name not in self.services:
            raise RolloutError.of(
                f"stack {region.stack} has no service {name}; it has: {', '.join(self.services) or 'none'}",
                _WHY,
                f"bring it up: pulumi up -s {region.stack} (in the lab: make up)",
            )
        return self.services[name]


def read_outputs(pulumi: PulumiAccess, region: RegionAccess) -> StackOutputs:
    """Asks the Pulumi CLI for the outputs of the region's stack. Takes about a quarter of a second.

    Raises:
        TransientError: the CLI gives no answer, or fails for a reason that may pass.
        RolloutError: there is no CLI, no such stack, or the stack's outputs are not those of a region that is up.
    """
    answer = _ask_pulumi(pulumi, region)
    if answer.returncode != 0:
        raise _refusal(region, answer)
    return parse_outputs(answer.stdout, region)


def parse_outputs(text: str, region: RegionAccess) -> StackOutputs:
    """The outputs from what `pulumi stack output --json` printed.

    Raises:
        RolloutError: an output is missing or is not what it should be, all of them together; or the stack belongs to
            another region.
    """
    fix = f"bring the stack up: pulumi up -s {region.stack} (in the lab: make up)"
    if text.strip() == "{}":
        raise RolloutError.of(f"stack {region.stack} has no outputs yet", _WHY, fix)
    try:
        outputs = StackOutputs.model_validate_json(text)
    except ValidationError as error:
        raise RolloutError(
            *(
                Problem(
                    f"stack {region.stack}: output {'.'.join(map(str, part['loc'])) or 'list'}: {part['msg']}",
                    _WHY,
                    fix,
                )
                for part in error.errors()
            )
        ) from error
    if outputs.region != region.name:
        raise RolloutError.of(
            f"stack {region.stack}: output region is {outputs.region}, but this is about {region.name}",
            "answers are checked for the region that they come from, so its name must be beyond doubt",
            fix,
        )
    return outputs


def _ask_pulumi(pulumi: PulumiAccess, region: RegionAccess) -> subprocess.CompletedProcess[str]:
    # The CLI itself and not pulumi.automation: `LocalWorkspace.stack_outputs` is this very call made twice, the second
    # time with --show-secrets, after one more for the version. We need no secret, and so must not ask for any.
    search = os.pathsep.join([*([str(pulumi.path)] if pulumi.path else []), os.environ.get("PATH", os.defpath)])
    program = shutil.which("pulumi", path=search)
    if program is None:
        raise RolloutError.of(
            f"pulumi is not on PATH ({search})", _WHY, "install the Pulumi CLI, or let `make up` build it for the lab"
        )
    command = [program, "stack", "output", "--json", "--non-interactive", "--color", "never", "--stack", region.stack]
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true", **pulumi.environment, "PATH": search}
    try:
        return subprocess.run(
            command,
            cwd=pulumi.project,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TransientError.of(
            f"`pulumi stack output -s {region.stack}` gave no answer within {_TIMEOUT_SECONDS:.0f} s",
            _WHY,
            "run it by hand; the state backend may be out of reach",
        ) from error
    except OSError as error:
        raise RolloutError.of(f"{program} cannot be run: {error}", _WHY, "install the Pulumi CLI anew") from error


def _refusal(region: RegionAccess, answer: subprocess.CompletedProcess[str]) -> RolloutError:
    said = " ".join(answer.stderr.split())[:_STDERR_CHARACTERS] or "nothing"
    if "no stack named" in answer.stderr:
        return RolloutError.of(
            f"there is no stack {region.stack} in Pulumi's state (pulumi said: {said})",
            _WHY,
            f"bring it up: pulumi stack init {region.stack} && pulumi up -s {region.stack} (in the lab: make up)",
        )
    return TransientError.of(
        f"`pulumi stack output -s {region.stack}` ended with code {answer.returncode} and said: {said}",
        _WHY,
        "log in to the state's backend (pulumi login), and see that its passphrase or token is in the environment",
    )
