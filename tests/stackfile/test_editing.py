"""A person's file stays a person's file: what is not meant is not touched."""

from __future__ import annotations

import pytest

from stackfile.editing import (
    EditError,
    with_route_weights,
    with_version,
    with_weights,
    without_testers,
    without_version,
)
from stackfile.reader import read_stack_file
from tests.rollout.stack_files import ROOT

ROUTES = """\
# weight: 90
kind: VirtualService
spec:
  http:
    - match: [{headers: {x-version: {exact: v2}}}]
      route:
        - destination: {host: echo, subset: v2}
    - route:
        - {destination: {host: echo, subset: v1}, weight: 90}   # most
        - weight: 10
          destination:
            host: echo
            subset: v2
"""
FLOW = """\
# one region
config:
  echo-rollout:cluster: {context: c}   # weight: 10
  echo-rollout:services:
    echo:
      stable: v1        # the one to go back to
      versions:         # weights are percents
        # the old one
        v1: {image: registry.corp.local/echo:1.0.0, replicas: 3, weight: 90}
        v2: {image: registry.corp.local/echo:2.0.0, weight: 10, replicas: 10}  # weight: 10

        # the next one
        v10: {"image": 'registry.corp.local/echo:10.0.0', replicas: 3, weight: 0}
      maxEjectionPercent: 34
  other:weight: 10
"""
BLOCK = """\
config:
    echo-rollout:services:
        echo:
            versions:
                v1:
                    # of January
                    image: registry.corp.local/echo:1.0.0
                    replicas: 3
                    weight: 90   # most

                # of May
                v2:
                    weight: 10
                    image: registry.corp.local/echo:2.0.0
                    replicas: 3  # three

            stable: v2

            # one bad pod of three
            maxEjectionPercent: 34
"""
ONE_LINE = 'config: {"echo-rollout:services": {echo: {versions: {v1: {weight: 90}, v2: {weight: 10}, v3: {weight: 0}}, stable: v3}}}\n'
FLOW_OVER_LINES = """\
config:
  echo-rollout:services:
    echo: {
      versions: {
        v1: {weight: 90},   # first
        v2: {weight: 10},   # second
        v3: {
          weight: 0
        }                   # third
      }
    }
"""
OLDER = """\
config:
  echo-rollout:echo:   # before there were several services
    versions:
      v1: {weight: 90}
      v2: {weight: 10}  # weight: 10
    stable: v2
"""
TWO = """\
config:
  echo-rollout:services:
    echo:
      stable: v2
      versions: {v1: {weight: 90}, v2: {weight: 10}}
    nginx:
      stable: v2
      versions: {v1: {weight: 90}, v2: {weight: 10}}
"""


def without_lines(text: str, *lines: str) -> str:
    for line in lines:
        assert text.count(f"{line}\n") == 1, line
        text = text.replace(f"{line}\n", "")
    return text


class TestWithWeights:
    def test_changes_the_digits_alone(self) -> None:
        expected = FLOW.replace("weight: 90}", "weight: 5}").replace("weight: 10, repl", "weight: 95, repl")

        assert with_weights(FLOW, "echo", {"v1": 5, "v2": 95}) == expected

    def test_changes_the_digits_alone_in_blocks(self) -> None:
        expected = BLOCK.replace("weight: 90 ", "weight: 75 ").replace("weight: 10", "weight: 25")

        assert with_weights(BLOCK, "echo", {"v1": 75, "v2": 25}) == expected

    def test_changes_the_digits_alone_in_one_line(self) -> None:
        assert with_weights(ONE_LINE, "echo", {"v2": 9, "v3": 1}) == ONE_LINE.replace("10", "9").replace(
            "{weight: 0", "{weight: 1"
        )

    def test_changes_one_of_several_services(self) -> None:
        echo, nginx = TWO.split("    nginx:")

        assert with_weights(TWO, "nginx", {"v1": 75, "v2": 25}) == "    nginx:".join(
            [echo, nginx.replace("90", "75").replace("10", "25")]
        )

    def test_changes_the_digits_alone_of_a_service_that_is_a_setting_by_itself(self) -> None:
        assert with_weights(OLDER, "echo", {"v2": 25}) == OLDER.replace("weight: 10}", "weight: 25}")

    @pytest.mark.parametrize("end", ["\r\n", "\n"])
    @pytest.mark.parametrize("start", ["\ufeff", "# né ☃\n", ""])
    def test_finds_its_place_behind_any_text(self, start: str, end: str) -> None:
        text = start + FLOW.replace("\n", end)

        assert with_weights(text, "echo", {"v2": 25}) == text.replace("weight: 10, repl", "weight: 25, repl")

    @pytest.mark.parametrize("region", ["region-a", "region-b"])
    def test_is_the_inverse_of_itself_in_the_projects_own_files(self, region: str) -> None:
        text = (ROOT / f"Pulumi.{region}.yaml").read_text()
        before = read_stack_file(text.encode(), f"Pulumi.{region}.yaml").services["echo"].weights
        turned = dict(zip(before, reversed(before.values()), strict=True))

        changed = with_weights(text, "echo", turned)

        assert read_stack_file(changed.encode(), f"Pulumi.{region}.yaml").services["echo"].weights == turned
        assert with_weights(changed, "echo", before) == text

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            # what v2 says is what v1 says
            ("v1: {weight: 90}, v2: {weight: 10}", "v1: &v1 {weight: 90}, v2: *v1"),
            ("v1: {weight: 90}, v2: {weight: 10}", "v1: {weight: &w 90}, v2: {weight: *w}"),
            ("v2: {weight: 10}", "v2: {weight: 0xA}"),
            ("v2: {weight: 10}", "v2: {weight: '10'}"),
        ],
    )
    def test_refuses_a_weight_that_is_not_a_versions_own_digits(self, old: str, new: str) -> None:
        assert old in ONE_LINE

        with pytest.raises(EditError, match="a version cannot be changed by itself"):
            with_weights(ONE_LINE.replace(old, new), "echo", {"v2": 25})

    @pytest.mark.parametrize(
        ("text", "service", "told"),
        [
            (TWO, "ngnix", "config.echo-rollout:services has no key ngnix — "),
            # a service of this name is no setting of this name
            (
                "config: {'echo-rollout:mesh': {versions: {v2: {weight: 10}}}}",
                "mesh",
                "config has no key echo-rollout:services",
            ),
            (OLDER, "nginx", "config has no key echo-rollout:services — "),
        ],
    )
    def test_of_a_service_that_is_not_there_is_told(self, text: str, service: str, told: str) -> None:
        with pytest.raises(EditError) as refused:
            with_weights(text, service, {"v2": 25})

        assert str(refused.value).startswith(told)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (FLOW.replace("weight: 10, ", ""), "config.echo-rollout:services.echo.versions.v2 has no key weight"),
            (
                FLOW.replace("weight: 10, ", "weight: ten, "),
                "config.echo-rollout:services.echo.versions.v2.weight is no number",
            ),
            (
                FLOW.replace("weight: 10, ", "weight: [10], "),
                "config.echo-rollout:services.echo.versions.v2.weight is no number",
            ),
            (FLOW.replace("  v2:", "  v3:"), "config.echo-rollout:services.echo.versions has no key v2"),
            ("config: {}", "config has no key echo-rollout:services"),
            ("config: x", "config is no object of keys and values"),
            ("", "the file is no object of keys and values"),
            ("a: [", "the stack file is no YAML: "),
        ],
    )
    def test_of_what_cannot_be_found_is_told(self, text: str, told: str) -> None:
        with pytest.raises(EditError) as refused:
            with_weights(text, "echo", {"v2": 25})

        assert refused.value.what.startswith(told)


class TestWithoutVersion:
    def test_takes_its_line_and_the_comment_on_it(self) -> None:
        line = next(line for line in FLOW.splitlines() if "  v2:" in line)

        assert without_version(FLOW, "echo", "v2") == without_lines(FLOW, line)

    def test_takes_what_names_it_as_stable(self) -> None:
        found = without_version(FLOW, "echo", "v1")

        assert found == without_lines(
            FLOW,
            "      stable: v1        # the one to go back to",
            "        v1: {image: registry.corp.local/echo:1.0.0, replicas: 3, weight: 90}",
        )

    def test_takes_a_block_and_leaves_what_stands_around_it(self) -> None:
        found = without_version(BLOCK, "echo", "v1")

        assert found == without_lines(
            BLOCK,
            "                v1:",
            "                    # of January",
            "                    image: registry.corp.local/echo:1.0.0",
            "                    replicas: 3\n                    weight: 90   # most",
        )

    def test_takes_the_last_block_and_its_stable(self) -> None:
        found = without_version(BLOCK, "echo", "v2")

        assert found == without_lines(
            BLOCK,
            "                v2:",
            "                    weight: 10",
            "                    image: registry.corp.local/echo:2.0.0",
            "                    replicas: 3  # three",
            "            stable: v2",
        )

    def test_takes_it_from_one_of_several_services(self) -> None:
        before, after = TWO.split("    nginx:")

        assert without_version(TWO, "echo", "v2") == "    nginx:".join(
            [before.replace("      stable: v2\n", "").replace(", v2: {weight: 10}", ""), after]
        )

    def test_takes_it_from_a_service_that_is_a_setting_by_itself(self) -> None:
        assert without_version(OLDER, "echo", "v2") == without_lines(
            OLDER, "      v2: {weight: 10}  # weight: 10", "    stable: v2"
        )

    @pytest.mark.parametrize(
        ("version", "cut"),
        [("v1", ["v1: {weight: 90}, "]), ("v2", ["v2: {weight: 10}, "]), ("v3", [", v3: {weight: 0}", ", stable: v3"])],
    )
    def test_takes_one_comma_where_all_is_in_one_line(self, version: str, cut: list[str]) -> None:
        expected = ONE_LINE
        for each in cut:
            assert each in expected
            expected = expected.replace(each, "")

        assert without_version(ONE_LINE, "echo", version) == expected

    @pytest.mark.parametrize(
        ("version", "lines"),
        [
            ("v1", ["        v1: {weight: 90},   # first"]),
            ("v2", ["        v2: {weight: 10},   # second"]),
            ("v3", ["        v3: {", "          weight: 0", "        }                   # third"]),
        ],
    )
    def test_takes_its_lines_where_an_object_in_braces_has_some(self, version: str, lines: list[str]) -> None:
        assert without_version(FLOW_OVER_LINES, "echo", version) == without_lines(FLOW_OVER_LINES, *lines)

    def test_refuses_to_take_one_that_another_is_written_by(self) -> None:
        text = ONE_LINE.replace("v1: {weight: 90}, v2: {weight: 10}", "v1: &v1 {weight: 90}, v2: *v1")

        with pytest.raises(EditError, match="a version cannot be changed by itself"):
            without_version(text, "echo", "v1")

    def test_refuses_to_take_the_last_one(self) -> None:
        with pytest.raises(EditError, match="has no version but v1"):
            without_version("config: {'echo-rollout:echo': {versions: {v1: {weight: 100}}}}", "echo", "v1")

    def test_of_a_version_that_is_not_there_is_told_with_the_nearest(self) -> None:
        with pytest.raises(EditError, match=r"did you mean v2\?"):
            without_version(FLOW, "echo", "v22")


class TestWithoutTesters:
    def test_adds_the_key_after_the_weight(self) -> None:
        expected = FLOW.replace("weight: 10, replicas: 10}", "weight: 10, testers: false, replicas: 10}")

        assert without_testers(FLOW, "echo", "v2") == expected

    @pytest.mark.parametrize("end", ["\r\n", "\n"])
    @pytest.mark.parametrize("start", ["\ufeff", "# né ☃\n", ""])
    @pytest.mark.parametrize(("version", "line"), [("v1", "weight: 90   # most"), ("v2", "weight: 10")])
    def test_adds_a_line_in_a_block(self, version: str, line: str, start: str, end: str) -> None:
        text = (start + BLOCK).replace("\n", end)
        expected = text.replace(line, f"{line}{end}                    testers: false")

        assert without_testers(text, "echo", version) == expected

    def test_adds_a_line_at_the_end_of_a_file_without_one(self) -> None:
        text = "config:\n  echo-rollout:services:\n    echo:\n      versions:\n        v1:\n          weight: 0"

        assert without_testers(text, "echo", "v1") == f"{text}\n          testers: false"

    def test_adds_it_where_braces_go_over_lines(self) -> None:
        expected = FLOW_OVER_LINES.replace("          weight: 0\n", "          weight: 0, testers: false\n")

        assert without_testers(FLOW_OVER_LINES, "echo", "v3") == expected

    def test_adds_it_to_a_version_of_one_of_several_services(self) -> None:
        echo, nginx = TWO.split("    nginx:")

        assert without_testers(TWO, "nginx", "v2") == "    nginx:".join(
            [echo, nginx.replace("10}", "10, testers: false}")]
        )

    @pytest.mark.parametrize(
        ("said", "then"),
        [("testers: true", "testers: false"), ("testers: ", "testers: false "), ("testers: null", "testers: false")],
    )
    @pytest.mark.parametrize(
        "form", ["{{weight: 0, {}}}", "{{{}, weight: 0}}", "\n          {}  # for now\n          weight: 0"]
    )
    def test_changes_the_value_that_is_there(self, form: str, said: str, then: str) -> None:
        text = "config:\n  echo-rollout:services:\n    echo:\n      versions:\n        v1: {}  # the old one\n"

        edited = without_testers(text.format(form.format(said)), "echo", "v1")

        assert edited == text.format(form.format(then))

    def test_leaves_a_file_that_says_so_as_it_is(self) -> None:
        text = TWO.replace("10}", "10, testers: false}")

        assert without_testers(text, "echo", "v2") == text

    @pytest.mark.parametrize(
        "versions",
        [
            "v1: &v1 {weight: 90}, v2: *v1",
            "v1: &v1 {weight: 90}, v2: {<<: *v1}",
            "v1: {weight: 90, testers: &t true}, v2: {weight: 10, testers: *t}",
        ],
    )
    def test_refuses_to_change_another_version_with_it(self, versions: str) -> None:
        text = ONE_LINE.replace("v1: {weight: 90}, v2: {weight: 10}", versions)

        with pytest.raises(EditError, match=r"a version cannot be changed by itself|has no key weight"):
            without_testers(text, "echo", "v2")


class TestWithVersion:
    IMAGE = "registry.corp.local/echo:11.0.0"

    def test_adds_a_line_behind_the_others(self) -> None:
        last = next(line for line in FLOW.splitlines() if "  v10:" in line)
        added = f"        v11: {{image: {self.IMAGE}, replicas: 10, weight: 0}}"

        found = with_version(FLOW, "echo", "v11", "v2", {"image": self.IMAGE})

        assert found == FLOW.replace(last, f"{last}\n{added}")

    @pytest.mark.parametrize("end", ["\r\n", "\n"])
    @pytest.mark.parametrize("start", ["\ufeff", "# né ☃\n", ""])
    def test_adds_lines_with_the_same_indent_in_blocks(self, start: str, end: str) -> None:
        last = "replicas: 3  # three"
        lines = ["v3:", f"    image: {self.IMAGE}", "    replicas: 5", "    weight: 0"]
        text = (start + BLOCK).replace("\n", end)

        found = with_version(text, "echo", "v3", "v1", {"image": self.IMAGE, "replicas": 5})

        assert found == text.replace(last, last + "".join(f"{end}{' ' * 16}{line}" for line in lines))

    @pytest.mark.parametrize(
        ("text", "last"),
        [(ONE_LINE, "v3: {weight: 0}"), (FLOW_OVER_LINES, "v3: {\n          weight: 0\n        }")],
    )
    def test_adds_it_in_the_braces_of_the_others(self, text: str, last: str) -> None:
        assert with_version(text, "echo", "v4", "v1", {}) == text.replace(last, f"{last}, v4: {{weight: 0}}")

    def test_adds_it_to_one_of_several_services(self) -> None:
        echo, nginx = TWO.split("    nginx:")

        assert with_version(TWO, "nginx", "v3", "v2", {}) == "    nginx:".join(
            [echo, nginx.replace("10}", "10}, v3: {weight: 0}")]
        )

    def test_copies_all_that_the_other_one_has_but_what_ends_it(self) -> None:
        text = ONE_LINE.replace("v2: {", "v2: {testers: false, env: {ON: 'yes, no: {x}', N: '1'}, ")

        found = with_version(text, "echo", "v4", "v2", {})

        assert found == text.replace("{weight: 0}", "{weight: 0}, v4: {env: {N: '1', ON: 'yes, no: {x}'}, weight: 0}")

    def test_refuses_a_name_that_is_there(self) -> None:
        with pytest.raises(EditError, match="a version cannot be changed by itself"):
            with_version(ONE_LINE, "echo", "v2", "v1", {})

    def test_of_a_version_to_be_like_that_is_not_there_is_told(self) -> None:
        with pytest.raises(EditError, match="versions has no key v9"):
            with_version(ONE_LINE, "echo", "v4", "v9", {})


class TestRouteWeights:
    def test_change_their_digits_and_nothing_else(self) -> None:
        assert with_route_weights(ROUTES, {"v1": 0, "v2": 100}) == (
            ROUTES.replace("weight: 90}", "weight: 0}").replace("- weight: 10", "- weight: 100")
        )

    def test_of_a_version_that_is_not_named_are_none(self) -> None:
        assert "weight: 0}" in with_route_weights(ROUTES, {"v2": 100, "v3": 0})

    def test_change_in_each_route_that_has_some(self) -> None:
        twice = (
            ROUTES
            + "    - {route: [{destination: {subset: v1}, weight: 90}, {destination: {subset: v2}, weight: 10}]}\n"
        )

        assert with_route_weights(twice, {"v1": 75, "v2": 25}).count("weight: 25") == 2

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (ROUTES.replace("subset: v1", "subset: v0"), "no route leads to v1"),
            (ROUTES.replace("weight: 10", "weight: '10'"), "written so that a version cannot be changed"),
            ("", "is no object of keys and values"),
            ("spec: [", "is no YAML"),
        ],
    )
    def test_of_what_is_no_such_route_are_refused(self, text: str, told: str) -> None:
        with pytest.raises(EditError, match=told):
            with_route_weights(text, {"v1": 75, "v2": 25})
