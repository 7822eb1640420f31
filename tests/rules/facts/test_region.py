"""What a region is to the rules, of what its stack file says."""

from rules import catalogue
from rules.facts.region import Limits, Region
from rules.facts.windows import RecurringWindow
from rules.facts.workloads import Workloads
from stackfile.model import RegionConfig
from tests.stackfile.stack_values import MINIMAL, parse, with_value


def as_region(config: RegionConfig) -> Region:
    return Region.of(config.model_dump(by_alias=True), "echo", Workloads())


def test_a_region_is_named_and_delivered_as_its_file_says() -> None:
    region = as_region(parse({**MINIMAL, "delivery": "direct", "region": "north"}))
    assert (region.name, region.delivery) == ("north", "direct")


def test_what_pulumi_registers_is_not_known_from_the_configuration() -> None:
    assert as_region(parse(MINIMAL)).pulumi is None


def test_settings_are_known_by_the_files_own_paths() -> None:
    settings = as_region(parse(with_value("istio.values.pilot.env.X", "1"))).settings
    assert settings["services.echo.versions.v2.weight"] == 10
    assert settings["mesh.network"] == "network-a"
    assert settings["istio.values.pilot.env.X"] == "1"


def test_settings_that_the_file_leaves_out_have_their_defaults() -> None:
    settings = as_region(parse(MINIMAL)).settings
    assert settings["services.echo.outlierDetection.consecutive5xxErrors"] == 10
    assert settings["services.echo.connectionPool.http1MaxPendingRequests"] == 1000
    assert settings["rules.largestIncrease"] == 50
    assert settings["cluster.kubeconfig"] is None


def test_a_region_is_seen_by_each_of_its_services_apart() -> None:
    web = {**MINIMAL["services"]["echo"], "stable": "v2", "podsForAllTraffic": 2}
    file = parse(with_value("services.web", web)).model_dump(by_alias=True)

    regions = {service: Region.of(file, service, Workloads()) for service in ("echo", "web")}

    for service, region in regions.items():
        assert region.service == service
        own = {path.split(".")[1] for path in region.settings if path.startswith("services.")}
        assert own == {service}
        assert region.settings["mesh.network"] == "network-a"
    assert {service: region.limits.stable for service, region in regions.items()} == {"echo": None, "web": "v2"}
    assert [region.limits.pods_for_all_traffic for region in regions.values()] == [None, 2]


def test_limits_are_the_rules_own_unless_the_file_says_otherwise() -> None:
    assert as_region(parse(MINIMAL)).limits == Limits()


def test_limits_are_what_the_file_says() -> None:
    rule = min(catalogue.waivable_ids())
    values = with_value("services.echo.stable", "v2")
    values["services"]["echo"]["podsForAllTraffic"] = 4
    values["rules"] = {
        "largestIncrease": 25,
        "introduceTogether": True,
        "immutableTags": ["build-[0-9]+"],
        "mayDiffer": ["cluster.**"],
        "waived": {rule: "a test region"},
        "freeze": [
            {"cron": "0 18 * * 5", "length": "62h", "timeZone": "Europe/Berlin", "reason": "nobody is at work"},
            {"cron": "0 3 * * *", "length": "1h", "reason": "backups"},
        ],
    }
    assert as_region(parse(values)).limits == Limits(
        largest_increase=25,
        introduce_together=True,
        immutable_tags=("build-[0-9]+",),
        may_differ=("cluster.**",),
        waived={rule: "a test region"},
        pods_for_all_traffic=4,
        stable="v2",
        freeze=(
            RecurringWindow("0 18 * * 5", "62h", "Europe/Berlin", "nobody is at work"),
            RecurringWindow("0 3 * * *", "1h", reason="backups"),
        ),
    )
