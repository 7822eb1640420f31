"""What the rules say of a stack's configuration by itself, before anything is registered."""

import pulumi

from components.service import workload_objects
from rules.facts.manifests import read
from rules.facts.region import Region
from rules.finding import Severity
from rules.judgement import judge_region
from stackfile.model import RegionConfig


class UnsafeError(ValueError):
    """The region must not come up as it is configured; the message is one finding after the other."""


def require_safe(config: RegionConfig) -> None:
    """Hold against a configuration every rule that needs to know no other revision, and log the warnings.

    Raises:
        UnsafeError: If a rule refuses it, with everything that any rule refuses.
    """
    file = config.model_dump(by_alias=True)
    findings = judge_region(
        [Region.of(file, name, read(workload_objects(config, service))) for name, service in config.services.items()]
    )
    for warning in findings:
        if warning.severity is Severity.WARNING:
            pulumi.log.warn(str(warning))
    if refused := [str(finding) for finding in findings if finding.severity is Severity.REFUSED]:
        raise UnsafeError("\n".join(refused))
