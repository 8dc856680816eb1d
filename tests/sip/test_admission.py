"""Who may talk to us: known sources, not too fast; strangers get nothing."""

from __future__ import annotations

import pytest

from antiphon.sip.admission import Admission, Verdict

TRUNKS = {"exotel": ["203.0.113.0/24", "2001:db8::/32"], "office": ["203.0.113.7"]}


@pytest.mark.parametrize(
    ("host", "verdict", "trunk"),
    [
        ("203.0.113.5", Verdict.ADMITTED, "exotel"),
        ("203.0.113.7", Verdict.ADMITTED, "office"),
        ("::ffff:203.0.113.5", Verdict.ADMITTED, "exotel"),
        ("2001:db8::5", Verdict.ADMITTED, "exotel"),
        ("198.51.100.1", Verdict.UNKNOWN, ""),
        ("not-an-address", Verdict.UNKNOWN, ""),
    ],
)
def test_a_source_is_known_by_its_network(host: str, verdict: Verdict, trunk: str) -> None:
    admission = Admission(TRUNKS)
    assert admission.judge(host, 0.0) == (verdict, trunk)


def test_whom_we_wrote_to_may_answer_for_a_while() -> None:
    admission = Admission()
    admission.learn("198.51.100.1", 0.0)
    assert admission.judge("198.51.100.1", 10.0)[0] is Verdict.LEARNED
    assert admission.judge("198.51.100.1", 8000.0)[0] is Verdict.UNKNOWN


def test_everyone_is_admitted_where_that_is_wanted() -> None:
    assert Admission(everyone=True).judge("127.0.0.1", 0.0) == (Verdict.ADMITTED, "")


def test_a_source_that_is_too_fast_is_dropped_and_recovers() -> None:
    admission = Admission(everyone=True, rate=10.0, burst=20.0)
    verdicts = [admission.judge("192.0.2.1", 0.0)[0] for _ in range(30)]
    assert verdicts.count(Verdict.ADMITTED) == 20
    assert admission.throttled == 10
    assert admission.judge("192.0.2.2", 0.0)[0] is Verdict.ADMITTED
    assert [admission.judge("192.0.2.1", 1.0)[0] for _ in range(11)].count(Verdict.ADMITTED) == 10


def test_a_flood_is_counted_but_hardly_logged() -> None:
    admission = Admission(TRUNKS)
    for _ in range(1000):
        admission.judge("198.51.100.1", 0.0)
    assert admission.refused == 1000
    assert [admission.should_log("198.51.100.1", at) for at in (0.0, 1.0, 59.0, 61.0)] == [
        True,
        False,
        False,
        True,
    ]


def test_memory_of_sources_is_bounded() -> None:
    admission = Admission(everyone=True)
    for number in range(30_000):
        admission.judge(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
        admission.learn(str(number), 0.0)
    assert len(admission._known) <= 10_000
    assert len(admission._learned) <= 10_000


def test_trunks_can_be_replaced() -> None:
    admission = Admission(TRUNKS)
    assert admission.judge("203.0.113.5", 0.0)[0] is Verdict.ADMITTED
    admission.set_trunks({"new": ["198.51.100.1"]})
    assert admission.judge("203.0.113.5", 0.0)[0] is Verdict.UNKNOWN
    assert admission.judge("198.51.100.1", 0.0) == (Verdict.ADMITTED, "new")
    with pytest.raises(ValueError, match="does not appear"):
        admission.set_trunks({"bad": ["300.1.1.1"]})
    assert admission.judge("198.51.100.1", 0.0)[0] is Verdict.ADMITTED
