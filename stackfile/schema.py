"""The JSON Schema of stack files, made from the types that check them, so that editors complete and check what is written.

`python -m stackfile.schema` writes it, with `--check` it says whether the committed one is current. What holds between two
keys, such as the sum of the weights, is not in it: only the program checks that.
"""

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from stackfile.keys import TOP_KEYS
from stackfile.model import PROJECT, RegionConfig

SCHEMA_FILE = Path(__file__).parents[1] / "stack-file.schema.json"
_DRAFT = "http://json-schema.org/draft-07/schema#"
"""The newest that every editor's language server knows whole."""
_NULL = {"type": "null"}

_Schema = dict[str, Any]


def stack_file_schema() -> _Schema:
    """Describe a whole stack file: Pulumi's own keys, and below `config` the project's, with and without its namespace."""
    region = RegionConfig.model_json_schema(
        by_alias=True, ref_template="#/definitions/{model}", schema_generator=_OfFiles
    )
    definitions = region.pop("$defs")
    properties: dict[str, _Schema] = region["properties"]
    # where a file does not name the region, the stack does
    required = [key for key in region["required"] if key != "region"]
    properties["region"] = _omissible(properties["region"])
    keys = {f"{PROJECT}:{key}": {"$ref": f"#/definitions/RegionConfig/properties/{key}"} for key in properties}
    bare = {key: {"$ref": f"#/definitions/RegionConfig/properties/{key}", "doNotSuggest": True} for key in properties}
    return {
        "$schema": _DRAFT,
        "title": "A stack file of echo-rollout",
        "description": region["description"],
        "type": "object",
        "properties": {
            **{key: {"description": "Pulumi's own"} for key in TOP_KEYS},
            "config": {
                "description": f"the settings, each with the namespace {PROJECT}",
                "type": "object",
                "properties": {**keys, **bare},
                # the settings of Pulumi's providers
                "patternProperties": {f"^(?!{PROJECT}:)[^:]+:[^:]+$": {}},
                "additionalProperties": False,
                "allOf": [{"anyOf": [{"required": [f"{PROJECT}:{key}"]}, {"required": [key]}]} for key in required],
            },
        },
        "required": ["config"],
        "additionalProperties": False,
        "definitions": {"RegionConfig": {"properties": properties}, **definitions},
    }


def stack_file_text() -> str:
    """Write the schema as its file has it."""
    return json.dumps(stack_file_schema(), indent=2, ensure_ascii=False) + "\n"


class _OfFiles(GenerateJsonSchema):
    """Describes what a file may hold, where pydantic describes what Python may."""

    def generate(self, schema: Any, mode: JsonSchemaMode = "validation") -> _Schema:
        made = super().generate(schema, mode)
        for part in (made, *made["$defs"].values()):
            del part["title"]
            # the rest of a docstring is for who reads the code
            part["description"] = part["description"].partition("\n\n")[0]
            required = part.get("required", ())
            part["properties"] = {
                key: _stated(one) if key in required else _omissible(_stated(one))
                for key, one in part["properties"].items()
            }
        return made


def _stated(value: _Schema) -> _Schema:
    """Describe a value that is there."""
    stated = {key: part for key, part in value.items() if key != "title"}
    for alternative in stated.pop("anyOf", ()):
        # what may be left out is "X | None" in Python
        stated |= alternative if alternative != _NULL else {}
    if "$ref" in stated or stated.get("default") is None:
        # the defaults of an object are those of its keys
        stated.pop("default", None)
    if "patternProperties" in stated:
        stated["additionalProperties"] = False
    return stated


def _omissible(value: _Schema) -> _Schema:
    """Allow a key without a value, which counts as left out."""
    if "$ref" in value:
        return {"description": value["description"], "anyOf": [{"$ref": value["$ref"]}, _NULL]}
    choice = {"enum": [*value["enum"], None]} if "enum" in value else {}
    types = value["type"] if isinstance(value["type"], list) else [value["type"]]
    return {**value, "type": [*types, "null"], **choice}


def main(arguments: Sequence[str]) -> int:
    """Write the file, or show what differs; returns the exit code, 1 where something does."""
    parser = argparse.ArgumentParser(prog="python -m stackfile.schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; show what differs")
    check = parser.parse_args(arguments).check
    before = SCHEMA_FILE.read_text(encoding="utf-8") if SCHEMA_FILE.exists() else ""
    after = stack_file_text()
    if not check:
        SCHEMA_FILE.write_text(after, encoding="utf-8")
        return 0
    name = SCHEMA_FILE.name
    sys.stdout.writelines(
        difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), name, name)
    )
    if before == after:
        return 0
    sys.stderr.write(
        f"{name} is not what the types say — editors would check stack files by something else than the program does; run "
        "`python -m stackfile.schema`\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
