"""What goes out to a page and what comes in from it."""

from __future__ import annotations

import json
import math

import pytest

from drill.training import commands as c
from drill.web.asking import MOST_POINTS, CommandRefused, carry_out, prose_of, thinned, view_of
from web.scripted import HINTS, SECRET, ScriptedStage


def stage_at(seconds: float) -> ScriptedStage:
    stage = ScriptedStage()
    stage.advance(seconds)
    return stage


def test_the_trainee_sees_nothing_blind() -> None:
    """Neither the answer, nor the scenario, nor hints not given, nor what the facilitator has in store."""
    seen = view_of(stage_at(120), "trainee")
    for blind in (SECRET, "latency-spike on", "Latency spike", "40 tickets", *HINTS):
        assert blind not in seen
    everything = view_of(stage_at(120), "facilitator")
    for known in (SECRET, "Latency spike", "40 tickets", *HINTS):
        assert known in everything


def test_a_view_is_strict_json() -> None:
    """Numbers that JSON does not have become null; a browser could not read them."""
    stage = stage_at(120)
    stage.effect_at = math.nan

    def no_constant(name: str) -> None:
        raise AssertionError(name)

    view = json.loads(view_of(stage, "facilitator"), parse_constant=no_constant)
    assert view["injections"][0]["effective_at"] == 0


def test_secrets_are_taken_out_whatever_the_stage_did() -> None:
    """In texts, and in labels by their name too."""
    stage = ScriptedStage(evil=" Authorization: Bearer planted0secret1")
    stage.advance(120)
    for role in ("trainee", "facilitator"):
        assert "planted0secret1" not in view_of(stage, role)


def test_markdown_is_sent_once() -> None:
    """A view has the digest of the runbook; the text is asked for."""
    stage = stage_at(120)
    view = json.loads(view_of(stage, "trainee"))
    assert len(view["runbook"]) == 16
    assert "# Answers are too slow" in prose_of(stage, "runbook")
    with pytest.raises(KeyError):
        prose_of(stage, "session")


def test_commands_reach_the_stage_of_their_role() -> None:
    """A trainee acknowledges; the facilitator's commands are none of the trainee's, nor the other way round."""
    stage = stage_at(120)
    assert carry_out(stage, "trainee", b'{"do":"acknowledge"}').ok
    assert stage.done == [c.Acknowledge()]
    for body in (
        b'{"do":"pause"}',
        b'{"do":"whisper","text":"x"}',
        b'{"do":"real-incident","reason":"x"}',
        b'{"do":"abort","reason":"x"}',
        b'{"do":"escalate","scenario":"x"}',
    ):
        with pytest.raises(CommandRefused):
            carry_out(stage, "trainee", body)
    with pytest.raises(CommandRefused):
        carry_out(stage, "facilitator", b'{"do":"acknowledge"}')
    assert stage.done == [c.Acknowledge()]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"do":"nothing"}', b'{"do":"suspect"}', b'{"do":"suspect","text":""}',
     b'{"do":"note","text":"x","more":1}', b'{"do":"note","text":"' + b"x" * 2001 + b'"}', b"\xff\xfe",
     b'{"do":["acknowledge"]}', b"[" * 5000],
)  # fmt: skip
def test_what_is_no_command_is_refused_in_words(body: bytes) -> None:
    """Nothing reaches the stage, and the words do not repeat what was sent."""
    stage = stage_at(120)
    with pytest.raises(CommandRefused) as refused:
        carry_out(stage, "trainee", body)
    assert len(str(refused.value)) < 300
    assert stage.done == []


def test_few_points_are_left_alone() -> None:
    """Less than a screen shows: as they are, rounded."""
    assert thinned([(1.0, 0.5), (2.04, 0.123456)]) == [(1.0, 0.5), (2.0, 0.1235)]
    assert thinned([]) == []


def test_many_points_are_thinned_without_losing_a_peak() -> None:
    """The largest of each stretch stays, so that a spike of one sample is seen."""
    points = [(1000.0 + n, 1.0 if n == 777 else 0.0) for n in range(3600)]
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2
    assert max(value for _, value in kept if value is not None) == 1.0
    assert [at for at, _ in kept] == sorted(at for at, _ in kept)


def test_a_growing_curve_does_not_wobble() -> None:
    """What was drawn a while ago is drawn the same when samples are added."""
    points = [(1000.0 + n, math.sin(n / 9)) for n in range(1200)]
    first, second = thinned(points[:1100]), thinned(points)
    assert second[: len(first) - 1] == first[:-1]


def test_gaps_stay_gaps() -> None:
    """NaN and infinity are no numbers on a screen."""
    assert thinned([(1.0, math.nan), (2.0, 1.0), (3.0, math.inf)]) == [(1.0, None), (2.0, 1.0), (3.0, None)]
