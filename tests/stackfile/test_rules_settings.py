"""A limit that a slip of the hand lifts protects nobody: what a stack file says of the rules is as strict as the rest of it."""

import pytest

from rules import catalogue
from rules.facts.region import MAY_DIFFER, Limits
from tests.stackfile.stack_values import MINIMAL, parse, problems, the_problem, with_value


def test_what_a_stack_leaves_out_is_what_the_rules_say() -> None:
    rules, limits = parse(MINIMAL).rules, Limits()
    assert (rules.largest_increase, rules.introduce_together) == (limits.largest_increase, limits.introduce_together)
    assert (rules.immutable_tags, rules.may_differ, rules.waived) == (limits.immutable_tags, MAY_DIFFER, {})


@pytest.mark.parametrize("value", [0, 101, "50", True, 12.5])
def test_an_increase_that_is_none_is_refused(value: object) -> None:
    assert "$.rules.largestIncrease: " in the_problem(with_value("rules.largestIncrease", value))


@pytest.mark.parametrize("value", [0, 1001, "3"])
def test_pods_that_cannot_answer_all_requests_are_refused(value: object) -> None:
    assert "$.services.echo.podsForAllTraffic: " in the_problem(with_value("services.echo.podsForAllTraffic", value))


@pytest.mark.parametrize("value", ["yes", 1, "true"])
def test_to_introduce_together_is_true_or_false_and_nothing_like_it(value: object) -> None:
    assert " is neither true nor false — give true: " in the_problem(with_value("rules.introduceTogether", value))


# --- who is stable


def test_the_stable_version_is_one_of_the_versions() -> None:
    assert parse(with_value("services.echo.stable", "v2")).services["echo"].stable == "v2"


def test_a_stable_version_that_is_not_there_is_refused_with_the_nearest() -> None:
    problem = the_problem(with_value("services.echo.stable", "v22"))
    assert '$.services.echo.stable: "v22" is not one of the versions — in a rollback nothing could take' in problem
    assert problem.endswith("did you mean v2?")


def test_a_stable_version_that_is_not_there_is_told_beside_a_fault_of_a_version() -> None:
    values = with_value("services.echo.stable", "old")
    values["services"]["echo"]["versions"]["v1"]["image"] = "echo"
    image, stable = problems(values)
    assert "$.services.echo.versions.v1.image: " in image
    assert stable.endswith("the known versions are v1, v2")


def test_a_stable_version_with_a_fault_of_its_own_is_there_all_the_same() -> None:
    values = with_value("services.echo.stable", "v1")
    values["services"]["echo"]["versions"]["v1"]["image"] = "echo"
    assert "$.services.echo.versions.v1.image: " in the_problem(values)


# --- windows of a freeze

WEEKEND = {"cron": "0 18 * * 5", "length": "62h", "timeZone": "Europe/Berlin", "reason": "nobody is at work"}


def test_windows_of_a_freeze_are_those_of_the_file() -> None:
    (found,) = parse(with_value("rules.freeze", [WEEKEND])).rules.freeze
    assert (found.cron, found.length, found.time_zone, found.reason) == tuple(WEEKEND.values())


def test_a_window_without_a_time_zone_is_utc() -> None:
    window = {key: value for key, value in WEEKEND.items() if key != "timeZone"}
    assert parse(with_value("rules.freeze", [window])).rules.freeze[0].time_zone is None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "cron",
            "0 18 * *",
            '"0 18 * *" is not a cron schedule — nobody could tell when it begins; write minute, hour, day',
        ),
        ("cron", "0 25 * * 5", '"0 25 * * 5" is not a cron schedule'),
        ("cron", "@daily", "is not a cron schedule"),
        ("cron", "0 18 * * friday", "is not a cron schedule"),
        ("cron", "0 18 0 * *", "is not a cron schedule"),
        ("cron", "0 5-1 * * *", "is not a cron schedule"),
        ("cron", "0 */0 * * *", "is not a cron schedule"),
        ("cron", 5, "5 is not text"),
        (
            "length",
            "2 days",
            '"2 days" is not a length of time — nobody could tell when it ends; write whole numbers of h and m',
        ),
        ("length", "0h", "is not a length of time"),
        ("length", "", "is not a length of time"),
        ("length", "30m1h", "is not a length of time"),
        (
            "timeZone",
            "Berlin",
            '"Berlin" is not a time zone that this machine knows — nobody could tell when it begins; write a name',
        ),
        ("timeZone", "Europe", "is not a time zone"),
        ("timeZone", "../UTC", "is not a time zone"),
        ("reason", " ", "is not a reason — people who meet it must see whether it still holds; say why"),
    ],
)
def test_a_window_that_nobody_could_read_is_refused_with_its_place(key: str, value: object, said: str) -> None:
    problem = the_problem(with_value("rules.freeze", [WEEKEND, {**WEEKEND, key: value}]))
    assert f"$.rules.freeze[1].{key}: " in problem
    assert said in problem


@pytest.mark.parametrize("key", ["cron", "length", "reason"])
def test_a_window_that_lacks_something_is_refused(key: str) -> None:
    window = {name: value for name, value in WEEKEND.items() if name != key}
    assert f"$.rules.freeze[0].{key}: is missing and has no default" in the_problem(
        with_value("rules.freeze", [window])
    )


# --- lists


@pytest.mark.parametrize("key", ["immutableTags", "mayDiffer", "freeze"])
@pytest.mark.parametrize("value", ["x", {"x": 1}, 3])
def test_what_is_no_list_is_refused(key: str, value: object) -> None:
    problem = the_problem(with_value(f"rules.{key}", value))
    assert f"$.rules.{key}: " in problem
    assert " is not a list — give a list of " in problem


@pytest.mark.parametrize("value", ["(", "*", "", "a\nb"])
def test_a_tag_pattern_that_is_no_regular_expression_is_refused_with_its_place(value: str) -> None:
    problem = the_problem(with_value("rules.immutableTags", ["v[0-9]+", value]))
    assert "$.rules.immutableTags[1]: " in problem
    assert " is not a regular expression" in problem


def test_an_entry_of_a_list_that_is_no_text_is_refused() -> None:
    problem = the_problem(with_value("rules.immutableTags", [1.0]))
    assert "$.rules.immutableTags[0]: 1.0 is not text (a number" in problem


@pytest.mark.parametrize(
    "path",
    [
        *MAY_DIFFER,
        "istio.version",
        "istio.**",
        "istio.values.pilot.env.X",
        "services.echo.versions.v3",
        "services.echo.versions.v3.*",
        "services.echo.*.interval",
        "rules.waived.weights-sum-100",
        "rules.mayDiffer",
        "cluster.kubeconfig",
    ],
)
def test_the_path_of_a_setting_may_differ(path: str) -> None:
    assert parse(with_value("rules.mayDiffer", [path])).rules.may_differ == (path,)


@pytest.mark.parametrize(
    ("path", "mend"),
    [
        ("isto.version", "did you mean istio?"),
        ("services.echo.version.*", "did you mean versions?"),
        ("services.echo.versions.*.wieght", "did you mean weight?"),
        ("cluster", "for all that is below it write cluster.**"),
        ("services.echo.versions", "for all that is below it write services.echo.versions.**"),
        ("mesh.network.x", "what is above x has no keys — no difference would be found by it; end it there"),
        ("**", "or ** at the end for all below"),
        ("services.echo.**.weight", "or ** at the end for all below"),
        ("services..weight", "or ** at the end for all below"),
        ("", "or ** at the end for all below"),
    ],
)
def test_a_path_that_no_setting_has_is_refused(path: str, mend: str) -> None:
    problem = the_problem(with_value("rules.mayDiffer", ["region", path]))
    assert "$.rules.mayDiffer[1]: " in problem
    assert problem.endswith(mend)


# --- waivers


def test_a_rule_that_others_rely_on_cannot_be_waived() -> None:
    problem = the_problem(with_value("rules.waived", {"objects-readable": "why not"}))
    assert '"objects-readable" is not the id of a rule that can be waived' in problem


def test_every_rule_but_that_can_be_waived_with_a_reason() -> None:
    waived = dict.fromkeys(catalogue.waivable_ids(), "a region that nobody uses")
    assert parse(with_value("rules.waived", waived)).rules.waived == waived


def test_a_waiver_of_no_rule_is_refused_with_the_nearest() -> None:
    problem = the_problem(with_value("rules.waived", {"weights-sum": "why not"}))
    assert '$.rules.waived.weights-sum: "weights-sum" is not the id of a rule that can be waived — ' in problem
    assert problem.endswith("did you mean weights-sum-100?")


@pytest.mark.parametrize("reason", ["", "  ", None, 3, ["x"]])
def test_a_waiver_without_a_reason_is_refused(reason: object) -> None:
    assert "$.rules.waived.weights-sum-100: " in the_problem(with_value("rules.waived", {"weights-sum-100": reason}))
