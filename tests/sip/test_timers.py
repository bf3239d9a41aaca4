"""Timers ring in order, once, and cost nothing when cancelled."""

from trunkline.sip.timers import TimerQueue


def test_timers_ring_in_order_and_only_once() -> None:
    queue, rang = TimerQueue(), []
    for due in (3.0, 1.0, 2.0):
        queue.start(due, lambda now, due=due: rang.append((due, now)))  # type: ignore[misc]
    assert queue.next_due() == 1.0
    queue.run(2.5)
    assert rang == [(1.0, 2.5), (2.0, 2.5)]
    queue.run(9.0)
    queue.run(9.0)
    assert rang[2:] == [(3.0, 9.0)]
    assert queue.next_due() is None


def test_a_cancelled_timer_never_rings_and_is_not_waited_for() -> None:
    queue, rang = TimerQueue(), []
    first = queue.start(1.0, rang.append)
    queue.start(2.0, rang.append)
    first.cancel()
    first.cancel()
    assert (queue.next_due(), len(queue)) == (2.0, 1)
    queue.run(5.0)
    assert rang == [5.0]
    assert len(queue) == 0


def test_a_timer_may_start_and_cancel_others_as_it_rings() -> None:
    queue, rang = TimerQueue(), []
    victim = queue.start(1.0, rang.append)

    def ring(now: float) -> None:
        victim.cancel()
        queue.start(now, lambda again: rang.append(-again))

    queue.start(0.5, ring)
    queue.run(1.0)
    assert rang == [-1.0]
    assert len(queue) == 0


def test_cancelled_timers_do_not_pile_up() -> None:
    queue = TimerQueue()
    for number in range(10_000):
        queue.start(1e6 + number, print).cancel()
    assert len(queue) == 0
    assert len(queue._heap) < 1000
