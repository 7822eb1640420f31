"""What a promotion left in Git is all that a resumed one knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.git.record import MARK, Promotion, PromotionState, Proof, Record, message, parse
from rollout.git.repository import Entry, newest_record
from rollout.measurement import Tally
from rollout.problem import RolloutError

PROMOTION = Promotion("p-1", "echo", "v2", (10, 25, 50, 100), ("region-a", "region-b"), 120, "a" * 40)
PROOF = Proof(
    region="region-a",
    version="v2",
    weight=10,
    requests=1320,
    share=0.1023,
    interval=(0.0931, 0.1124),
    new=Tally(1350, 2),
    old=Tally(11_800, 3),
    old_version="v1",
    seconds=121.5,
)
RECORD = Record(PROMOTION, PromotionState.IN_PROGRESS, "region-a", 25, PROOF)
TEXT = """\
region-a: v2 10 → 25 %

Rollout-Promotion: p-1
Rollout-Service: echo
Rollout-Version: v2
Rollout-Steps: 10,25,50,100
Rollout-Regions: region-a,region-b
Rollout-Bake: 120s
Rollout-Before: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
Rollout-Terms: keep=1 points=0.5 ratio=2 longest=600s
Rollout-State: in progress
Rollout-Region: region-a
Rollout-Weight: 25
Rollout-Proof: region-a v2 at weight 10: 10.23 % of 1320 requests, within 9.31..11.24 %, in 121.5 s; failed: v2 2 of 1350, v1 3 of 11800
"""

names = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
percents = st.integers(0, 100)
shares = st.integers(0, 10_000).map(lambda hundredths: round(hundredths / 10_000, 4))
counts = st.integers(0, 10**7)
tallies = st.builds(Tally, counts, counts)
proofs = st.builds(
    Proof,
    names,
    names,
    percents,
    counts,
    shares,
    st.tuples(shares, shares),
    tallies,
    tallies,
    names,
    st.integers(0, 10**6).map(lambda tenths: tenths / 10),
)
promotions = st.builds(
    Promotion,
    names,
    names,
    names,
    st.lists(percents, min_size=1, max_size=6).map(tuple),
    st.lists(names, min_size=1, max_size=4).map(tuple),
    st.integers(0, 10**6),
    st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
)
reasons = st.text(max_size=80).map(lambda text: " ".join("".join(filter(str.isprintable, text)).split()))


def entry(text: str, commit: str = "c" * 40) -> Entry:
    return Entry(commit, "somebody", datetime(2026, 1, 1, tzinfo=UTC), text.partition("\n")[0], text, ())


class TestMessage:
    def test_is_a_subject_and_a_line_for_each_thing_that_is_known(self) -> None:
        assert message("region-a: v2 10 → 25 %", RECORD) == TEXT

    @pytest.mark.parametrize(("weight", "said"), [(99, False), (100, True)])
    def test_says_that_nothing_was_compared_where_the_version_had_all(self, weight: int, said: bool) -> None:
        found = message("x", replace(RECORD, proof=replace(PROOF, weight=weight)))

        assert ("Rollout-Compared: with nothing" in found.splitlines()) == said

    def test_has_the_mark(self) -> None:
        assert MARK in TEXT

    def test_keeps_a_reason_of_more_lines_from_being_read_as_trailers(self) -> None:
        record = replace(RECORD, reason="503:\n\nRollout-State: done\n")

        assert parse(message("x", record)) == replace(RECORD, reason="503: Rollout-State: done")

    def test_has_nothing_that_git_would_not_take_or_a_terminal_would_obey(self) -> None:
        found = message("a\x1b[2Jb", replace(RECORD, reason="body \x00\udc80\u2028end"))

        assert found.startswith("a [2Jb\n")
        assert found.endswith("Rollout-Reason: body end\n")


class TestParse:
    @given(
        record=st.builds(
            Record, promotions, st.sampled_from(PromotionState), names, percents, st.none() | proofs, reasons
        ),
        subject=st.text(max_size=40),
    )
    def test_gives_back_what_was_written(self, record: Record, subject: str) -> None:
        assert parse(message(subject, record)) == record

    def test_of_a_commit_that_names_no_service_is_of_echo(self) -> None:
        """As all of them were before there were several services."""
        assert parse(TEXT.replace("Rollout-Service: echo\n", "")) == RECORD

    def test_rounds_what_was_measured_to_what_is_written(self) -> None:
        found = parse(message("x", replace(RECORD, proof=replace(PROOF, share=135 / 1320, seconds=121.4999))))

        assert found == replace(RECORD, proof=replace(PROOF, share=0.1023, seconds=121.5))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "Set weights",
            "Rollout-Promotion: p-1",
            "Set weights\n\nSigned-off-by: a <a@corp.local>\n",
            # quoted in the middle
            f"Undo\n\n{TEXT.partition(chr(10) * 2)[2]}\nbecause it was too early.\n",
        ],
    )
    def test_gives_none_of_a_commit_that_is_no_promotions(self, text: str) -> None:
        assert parse(text) is None

    @pytest.mark.parametrize(
        "text",
        [
            TEXT + "Signed-off-by: a <a@corp.local>\n",
            TEXT + "\nCo-authored-by: a <a@corp.local>\n",
            TEXT + "\n---------\n\nCo-authored-by: a <a@corp.local>\n",
            TEXT.replace("\n", "\r\n"),
            f"Promote v2 (#7)\n\n* {message('first', replace(RECORD, weight=10))}\n* {TEXT}",
        ],
    )
    def test_passes_over_what_other_tools_add(self, text: str) -> None:
        assert parse(text) == RECORD

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("Rollout-Promotion: p-1\n", "", "Rollout-Promotion is there 0 times"),
            ("Rollout-Weight: 25\n", "", "Rollout-Weight is there 0 times"),
            ("Rollout-Weight: 25\n", "Rollout-Weight: 25\nRollout-Weight: 50\n", "Rollout-Weight is there 2 times"),
            ("Rollout-Weight: 25", "Rollout-Weight: 101", "Rollout-Weight: '101'"),
            ("in progress", "somehow", "Rollout-State: 'somehow'"),
            ("120s", "2m", "Rollout-Bake: '2m'"),
            ("Service: echo", "Service: echo web", "Rollout-Service: 'echo web'"),
            ("Service: echo\n", "Service: echo\nRollout-Service: web\n", "Rollout-Service is there 2 times"),
            ("ratio=2", "ratio=some", "Rollout-Terms: 'keep=1"),
            ("10,25", "10,,25", "Rollout-Steps: '10,,25,50,100'"),
            ("region-a,region-b", "region-a, region-b", "Rollout-Regions: 'region-a, region-b'"),
            ("1320 requests", "many requests", "Rollout-Proof: 'region-a v2 at"),
            ("weight 10:", "weight 110:", "Rollout-Proof: 'region-a v2 at"),
        ],
    )
    def test_refuses_a_record_that_somebody_changed(self, old: str, new: str, told: str) -> None:
        assert old in TEXT

        with pytest.raises(RolloutError) as refused:
            parse(TEXT.replace(old, new))

        assert refused.value.problems[0].what.startswith(told)


class TestNewest:
    def test_is_the_first_that_has_a_record(self) -> None:
        old = message("old", replace(RECORD, weight=10))
        entries = [entry("theirs"), entry(TEXT, "1" * 40), entry(old, "2" * 40)]

        assert newest_record(entries, "echo") == (entries[1], RECORD)

    def test_of_another_service_is_passed_over(self) -> None:
        other = message("other", replace(RECORD, promotion=replace(PROMOTION, service="echo-extra")))
        entries = [entry(other), entry(TEXT, "1" * 40)]

        assert newest_record(entries, "echo") == (entries[1], RECORD)

    def test_is_none_where_nobody_promoted(self) -> None:
        assert newest_record([entry("theirs")], "echo") is None

    def test_that_cannot_be_read_is_told_with_its_commit(self) -> None:
        with pytest.raises(RolloutError, match=r"commit cccccccccc, 'region-a: v2 10 → 25 %': Rollout-Weight"):
            newest_record([entry(TEXT.replace("Weight: 25", "Weight: x")), entry(TEXT)], "echo")
