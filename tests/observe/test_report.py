"""What a report says, in text, HTML and as a dict."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olympipe_like._observe.report import Report
from olympipe_like._observe.text import columns, grouped, one_line, rate, seconds
from tests.observe.runs import (
    BALANCED,
    JUST_BEGUN,
    SLOW_CONSUMER,
    SLOW_DECODE,
    SLOW_SOURCE,
    run,
    stage,
    untimed_sink,
    untimed_source,
)

SENTENCES = [
    pytest.param(
        SLOW_DECODE,
        "'decode' is the bottleneck: 97 % busy with 2 workers, 'resize' behind it starved 61 %; "
        "make its function faster, or, as far as there are cores, give it more workers "
        "(workers=6 would bring it level with 'resize').",
        id="cpu-bound stage",
    ),
    pytest.param(
        SLOW_SOURCE,
        "The source 'walk' is the limit: every stage starved 88 % of the time or more; "
        "more workers do not help, but a source that only names the items (paths, keys) "
        "and leaves reading them to a first .task() may.",
        id="slow source",
    ),
    pytest.param(
        SLOW_CONSUMER,
        "Taking the results is the limit: 'resize' blocked 92 % of the time; more workers do not help, "
        "but moving work from the loop over the results into a .task() may.",
        id="slow consumer",
    ),
    pytest.param(
        BALANCED,
        "No single bottleneck: the busiest stage, 'decode', was busy 45 % of the time, "
        "and the others do not wait for it alone.",
        id="balanced",
    ),
    pytest.param(
        run(stage("decode", busy=0.3, elapsed=0.05), stage("pack", elapsed=0.05), elapsed=0.05),
        "No bottleneck to name: the busiest stage, 'decode', was busy 30 % of the time, "
        "and a run of 0.05 s is too short to say more.",
        id="short",
    ),
    pytest.param(JUST_BEGUN, "Nothing to judge yet: no item has been worked on.", id="just begun"),
    pytest.param(run(), "Nothing to judge yet: no item has been worked on.", id="no stages"),
    pytest.param(
        run(stage("decode", busy=0.95, workers=2), stage("embed", busy=0.93)),
        "'decode' is the bottleneck, level with 'embed': 95 % busy with 2 workers; "
        "only more speed in all of them makes the run faster.",
        id="level",
    ),
    pytest.param(
        run(stage("decode", busy=0.3, blocked=0.65), stage("pack", kind="batch", busy=0.95, merged=900)),
        "'pack' is the bottleneck: 95 % busy with 1 worker, 'decode' before it blocked 65 %; "
        "it runs in one worker, so only less work in it makes the run faster.",
        id="batch",
    ),
    pytest.param(
        run(stage("load", workers=0, busy=0.2), stage("fit", workers=0, busy=0.78)),
        "'fit' is the bottleneck: 78 % busy; make its function faster, or let it run in workers of its own.",
        id="inline",
    ),
    pytest.param(
        run(stage("walk", kind="source", busy=0.9), stage("decode", busy=0.1, starved=0.85)),
        "The source 'walk' is the limit: 90 % busy, every stage starved 85 % of the time or more; "
        "more workers do not help, but a source that only names the items (paths, keys) "
        "and leaves reading them to a first .task() may.",
        id="busy source",
    ),
    pytest.param(
        run(stage("range", kind="source", blocked=0.9), stage("add", busy=0.1, starved=0.8)),
        "Moving the items is the limit: the source waited for room while every stage starved 80 % "
        "of the time or more; put more work into one step, or .batch() the items so that fewer travel.",
        id="tiny items",
    ),
]


@pytest.mark.parametrize(("stats", "sentence"), SENTENCES)
def test_the_verdict_names_the_limit_its_figures_and_what_would_help(stats, sentence):
    assert Report(stats).verdict() == sentence


def test_stages_in_the_same_workers_are_named_beside_the_bottleneck():
    fused = run(
        untimed_source(),
        stage("decode", busy=0.9, filtered=100),
        stage("crop", workers=0, given=900),
        stage("flip", workers=0, given=900),
        stage("pack", busy=0.1, starved=0.8, given=900),
    )

    assert "90 % busy with 1 worker, which includes 'crop' and 'flip' in the same workers," in Report(fused).verdict()


def test_a_stage_without_workers_on_another_branch_is_not_named():
    branched = run(
        untimed_source(),
        stage("decode", busy=0.9),
        stage("other leg", workers=0, given=400),
        stage("pack", busy=0.1, starved=0.8),
    )

    assert "other leg" not in Report(branched).verdict()


def test_the_table_is_aligned_with_the_verdict_below():
    stats = run(
        untimed_source("walk", given=61_300),
        stage("decode", workers=2, given=61_234, filtered=40, failed=14, busy=0.97, waiting=16, elapsed=50),
        stage("resize", workers=0, given=61_180, capacity=0),
        untimed_sink(given=61_180),
        elapsed=50.0,
    )
    assert str(Report(stats)).splitlines() == [
        "Run finished after 50.0 s",
        "stage    workers      in     out  filtered  failed  items/s  busy %  starved %  blocked %  queue",
        "walk           -       -  61 300         0       0    1 226       -          -          -      -",
        "decode         2  61 234  61 180        40      14    1 225      97          0          0  16/16",
        "resize         -  61 180  61 180         0       0    1 224       -          -          -      -",
        "results        -  61 180  61 180         0       0    1 224       -          -          -   0/64",
        "",
        Report(stats).verdict(),
    ]


def test_a_run_that_goes_on_says_so():
    assert str(Report(JUST_BEGUN)).startswith("Run still going on after 0.00 s\n")


def test_names_of_any_script_and_with_control_characters_keep_the_columns():
    report = Report(run(stage("解码"), stage("a\nb\x1b[2J"), stage("x" * 99), stage("é")))

    rows = str(report).splitlines()[1:6]

    assert len({columns(row) for row in rows}) == 1
    assert rows[1].startswith("解码 ")
    assert rows[2].startswith("a?b?[2J ")
    assert rows[3].startswith("x" * 39 + "~ ")


def test_the_bottleneck_is_a_name_or_nothing():
    named = [Report(stats).bottleneck for stats in (SLOW_DECODE, SLOW_SOURCE, SLOW_CONSUMER, BALANCED, run())]

    assert named == ["decode", "walk", "loop", None, None]


def test_the_dict_is_json_and_complete():
    report = Report(SLOW_DECODE)

    figures = json.loads(json.dumps(report.to_dict(), allow_nan=False))

    assert (figures["elapsed"], figures["finished"], figures["limit"]) == (10.0, True, "stage")
    assert (figures["bottleneck"], figures["verdict"]) == ("decode", report.verdict())
    assert [each["name"] for each in figures["stages"]] == ["source", "decode", "resize", "results"]
    decode = figures["stages"][1]
    assert (decode["busy"], decode["busy_share"], decode["items_per_second"]) == (19.4, 0.97, 100.0)
    assert figures["stages"][0]["busy_share"] is None


def test_before_time_has_passed_the_dict_knows_no_rates():
    assert Report(JUST_BEGUN).to_dict()["stages"][1]["items_per_second"] is None


def test_html_escapes_names_and_marks_only_the_bottleneck():
    html = Report(run(stage("<b>&", busy=0.95), stage("pack", starved=0.8)))._repr_html_()

    assert '<tr style="font-weight:bold"><td style="text-align:left">&lt;b&gt;&amp;</td>' in html
    assert '<tr><td style="text-align:left">pack</td>' in html
    assert "<b>&" not in html
    assert "&#x27;&lt;b&gt;&amp;&#x27; is the bottleneck" in html


@pytest.mark.parametrize("stats", [BALANCED, run()])
def test_html_of_a_run_without_bottleneck_marks_nothing(stats):
    assert "bold" not in Report(stats)._repr_html_()


def test_a_report_shows_its_stats_and_cannot_be_changed():
    report = Report(SLOW_DECODE)

    assert (report.elapsed, report.finished, report.stages) == (10.0, True, SLOW_DECODE.stages)
    assert repr(report) == "Report(4 stages, 10.0 s, bottleneck 'decode')"
    assert pickle.loads(pickle.dumps(report)) == report
    with pytest.raises(AttributeError):
        report.stats = BALANCED


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0.00"),
        (0.499, "0.50"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (72.64, "72.6"),
        (99.96, "100"),
        (1204.3, "1 204"),
    ],
)
def test_rates_have_three_digits_or_more(number, text):
    assert rate(number) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0.0789, "0.08 s"),
        (12.44, "12.4 s"),
        (59.96, "1 min 00 s"),
        (61, "1 min 01 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_come_in_the_unit_of_their_size(duration, text):
    assert seconds(duration) == text


def test_counts_are_set_apart_by_thousands():
    assert [grouped(999), grouped(1000), grouped(61234567)] == ["999", "1 000", "61 234 567"]


@given(name=st.text(), width=st.integers(1, 30))
def test_a_cut_name_fits_and_is_one_line(name, width):
    cut = one_line(name, width)

    assert columns(cut) <= width
    assert cut.isprintable()
    assert cut == name or not name.isprintable() or (columns(name) > width and cut.endswith("~"))
