"""Who failed is tried last, for a while."""

from trunkline.sip.dead_targets import MOST, DeadTargets
from trunkline.sip.hop import Hop

A, B = Hop("192.0.2.1", 5060), Hop("192.0.2.2", 5060)


def test_a_target_that_failed_is_tried_last_for_half_a_minute() -> None:
    dead = DeadTargets()
    dead.failed(A, 100.0)
    assert dead.last([A, B], 129.0) == [B, A]
    assert dead.last([A, B], 131.0) == [A, B]


def test_each_further_failure_doubles_the_time_up_to_ten_minutes() -> None:
    dead = DeadTargets()
    now = 0.0
    lengths = []
    for _ in range(8):
        dead.failed(A, now)
        length = 0
        while dead.is_dead(A, now + length):
            length += 1
        lengths.append(length)
        now += length
    assert lengths == [30, 60, 120, 240, 480, 600, 600, 600]


def test_what_failed_long_ago_begins_anew() -> None:
    dead = DeadTargets()
    dead.failed(A, 0.0)
    dead.failed(A, 31.0)  # for 60 s, until 91
    dead.failed(A, 1000.0)
    assert not dead.is_dead(A, 1031.0)


def test_an_answer_forgives() -> None:
    dead = DeadTargets()
    dead.failed(A, 0.0)
    assert A in dead
    dead.works(A)
    assert A not in dead and dead.last([A, B], 1.0) == [A, B]


def test_retry_after_is_taken_at_its_word() -> None:
    dead = DeadTargets()
    dead.failed(A, 0.0, 7.0)
    assert dead.is_dead(A, 6.9) and not dead.is_dead(A, 7.1)


def test_transports_of_one_host_fail_each_for_itself() -> None:
    dead = DeadTargets()
    dead.failed(A._replace(transport="TCP", flow=7, name="x"), 0.0)
    assert dead.is_dead(A._replace(transport="TCP"), 1.0) and not dead.is_dead(A, 1.0)


def test_where_all_are_dead_all_are_tried_in_their_order() -> None:
    dead = DeadTargets()
    dead.failed(A, 0.0)
    dead.failed(B, 0.0)
    assert dead.last([B, A], 1.0) == [B, A]


def test_memory_is_bounded() -> None:
    dead = DeadTargets()
    for number in range(MOST + 500):
        dead.failed(Hop(f"host{number}", 5060), 0.0)
    assert len(dead) <= MOST
    dead.failed(A, 40.0)  # the others are over by now
    assert len(dead) == 1
