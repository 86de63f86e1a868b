"""A suspected cause is graded by what it means: the words are free, lists and denials are not causes."""

from __future__ import annotations

import pytest

from drill.training.grading import concepts, grade
from drill.training.script import ScriptAnswer

SERVICES = ["checkout", "payment", "cart", "catalog", "recommendations"]
LATENCY = ScriptAnswer(
    component="checkout", cause="network-latency", accept=("packet delay", "slow network", "tc delay", "netem")
)
CUT = ScriptAnswer(
    component="payment",
    cause="network-partition",
    accept=("cannot reach payment", "connection refused", "firewall"),
)
DISK = ScriptAnswer(component="cart", cause="disk-full", accept=("no space left", "volume full", "ENOSPC"))
OOM = ScriptAnswer(component="checkout", cause="oom-kill", accept=("out of memory", "memory limit"))
CRASH = ScriptAnswer(component="checkout", cause="replica-crash", accept=("pod killed", "crash", "process died"))
CPU = ScriptAnswer(component="checkout", cause="cpu-throttling", accept=("cpu limit", "throttled", "cpu stress"))
BAD = ScriptAnswer(component="checkout", cause="bad-replica", accept=("one replica fails", "errors on one pod"))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (LATENCY, "network latency on checkout"),
        (LATENCY, "The packets to checkout are delayed by about 400 ms"),
        (LATENCY, "checkout's network is slow"),
        (LATENCY, "slow network"),
        (LATENCY, "the time is lost on the way, answers of checkout are slow"),
        (LATENCY, "it is not the cpu, it is the network: latency"),
        (CUT, "checkout cannot reach payment"),
        (CUT, "checkout can't reach payment"),
        (CUT, "connections to payment are refused"),
        (CUT, "a firewall blocks payment"),
        (DISK, "the disk of cart-1 is full"),
        (DISK, "cart has no space left"),
        (DISK, "ENOSPC on cart-2"),
        (OOM, "checkout-0 runs out of memory"),
        (OOM, "OOMKilled, checkout"),
        (OOM, "memory: the kernel kills checkout"),
        (CRASH, "checkout-2 keeps crashing"),
        (CRASH, "a pod of checkout was killed"),
        (CRASH, "CrashLoopBackOff of checkout-1"),
        (CPU, "checkout is throttled"),
        (CPU, "not enough CPU for checkout"),
        (BAD, "checkout-1 answers with 503"),
        (BAD, "one pod of checkout is bad"),
    ],
)
def test_it_is_right_in_anybodys_words(answer: ScriptAnswer, text: str):
    found = grade(text, "", answer, SERVICES, answer.component)
    assert found.outcome == "right", found.why


@pytest.mark.parametrize(
    ("answer", "text", "outcome"),
    [
        (LATENCY, "checkout is slow", "partly"),
        (LATENCY, "the disk of checkout is full", "partly"),
        (LATENCY, "payment's network is slow", "partly"),
        (LATENCY, "not the network of checkout, latency is elsewhere in the cpu", "partly"),
        (LATENCY, "no idea", "wrong"),
        (LATENCY, "cart is out of memory", "wrong"),
        (LATENCY, "disk or cpu or memory or network latency of checkout", "partly"),
        (CUT, "payment is down", "partly"),
        (DISK, "cart has plenty of space, no full disk", "partly"),
        (BAD, "the network of checkout-1 is slow", "partly"),
        (BAD, "errors", "wrong"),
        (OOM, "checkout: everything: disk cpu network memory kill", "partly"),
    ],
)
def test_near_is_not_right(answer: ScriptAnswer, text: str, outcome: str):
    found = grade(text, "", answer, SERVICES, "checkout" if answer is not DISK else "cart")
    assert found.outcome == outcome, found.why


def test_the_component_may_be_given_apart():
    assert grade("slow network", "checkout", LATENCY, SERVICES, "cart").outcome == "right"
    assert grade("slow network", "", LATENCY, SERVICES, "cart").outcome == "partly"
    assert grade("slow network", "payment", LATENCY, SERVICES, "checkout").outcome == "partly"


def test_the_grade_says_why():
    why = grade("the disk is full", "checkout", LATENCY, SERVICES).why
    assert "the component is checkout" in why
    assert "disk" in why
    assert "network-latency" in why


def test_every_accepted_phrase_of_an_answer_is_right_by_itself():
    for answer in (LATENCY, CUT, DISK, OOM, CRASH, CPU, BAD):
        for phrase in (answer.cause, *answer.accept):
            found = grade(phrase, answer.component, answer, SERVICES)
            assert found.outcome == "right", (phrase, found.why)


@pytest.mark.parametrize("text", ["", " ", "🤷", "a" * 3000, "no no no not", "(((("])
def test_any_text_gets_a_grade(text: str):
    assert grade(text, "", LATENCY, SERVICES).outcome in ("right", "partly", "wrong")


def test_what_is_denied_is_not_meant():
    assert concepts("not the network") == frozenset()
    assert concepts("no space left on device") == {"disk", "full"}
    assert "unreachable" in concepts("payment is not reachable")
