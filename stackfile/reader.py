"""A stack file, or the running stack's configuration, read as the program sees it: the one reader of both."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stackfile.keys import decoded, duplicate_problem, namespace_problems, own_values, passed_on, top_problems
from stackfile.model import ConfigError, RegionConfig


def stack_of(source: str) -> str:
    """The stack whose file has this name, `Pulumi.<stack>.yaml`."""
    return source.removeprefix("Pulumi.").removesuffix(".yaml")


def load_stack_file(file: Path) -> RegionConfig:
    """Read a stack file as the program would see it, without Pulumi.

    Raises:
        ConfigError: If there is no such file, it is no stack file, or its values cannot be used.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            [
                f"{file.name}: there is no such file in {file.parent.absolute()} — a stack is its file; copy another stack's file"
            ]
        ) from error
    except OSError as error:
        raise ConfigError(
            [f"{file.name}: cannot be read ({error.strerror}) — a stack is its file; make it one that can be"]
        ) from error
    return read_stack_file(content, file.name)


def read_stack_file(content: bytes, source: str) -> RegionConfig:
    """Read what is in a stack file as the program would see it, wherever it comes from.

    Args:
        content: The file's bytes.
        source: The file's name, `Pulumi.<stack>.yaml`.

    Raises:
        ConfigError: If it is no stack file, or its values cannot be used.
    """
    # imported here, not above: every preview reads this module, and none reads YAML
    from stackfile.document import DocumentError, read_document  # noqa: PLC0415

    try:
        document = read_document(content)
    except DocumentError as error:
        raise ConfigError(
            [f"{source}: $: the file is no YAML ({error}) — nothing in it can be trusted; mend it there"]
        ) from error
    problems = [
        *top_problems(document.value),
        *(duplicate_problem(path, lines) for path, lines in document.duplicates),
    ]
    config = document.value.get("config") if isinstance(document.value, Mapping) else None
    return _region_config(
        {key: passed_on(value) for key, value in config.items()} if isinstance(config, Mapping) else {},
        region=stack_of(source),
        source=source,
        problems=problems,
    )


def load_stack_config() -> RegionConfig:
    """Read the configuration of the running program's stack.

    Raises:
        ConfigError: If the stack has no configuration or its values cannot be used.
    """
    # imported here, not above: `rollout plan` reads this module, and without Pulumi it is there in half the time
    import pulumi  # noqa: PLC0415
    from pulumi.runtime.config import CONFIG, get_config_env  # noqa: PLC0415

    stack = pulumi.get_stack()
    file = Path(f"Pulumi.{stack}.yaml")
    # the official language host passes the configuration in the environment, the automation API sets it in the process
    values = {**get_config_env(), **CONFIG.get()}
    if not own_values(values) and file.is_file():
        # Pulumi passes over what it does not know at the top of a file: the file itself tells why nothing came of it
        load_stack_file(file)
    return _region_config(
        {key: decoded(value) for key, value in values.items()}, region=stack, source=file.name, problems=[]
    )


def _region_config(config: Mapping[str, object], *, region: str, source: str, problems: Sequence[str]) -> RegionConfig:
    """Check the keys of all namespaces; what was found before is told with what they have."""
    problems = [f"{source}: {problem}" for problem in (*problems, *namespace_problems(config))]
    values = own_values(config)
    named = given if isinstance(given := values.get("region"), str) else ""
    if problems and not values:
        raise ConfigError(problems)
    try:
        parsed = RegionConfig.parse(values, region=region, source=source)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems], named) from None
    if problems:
        raise ConfigError(problems, named)
    return parsed
