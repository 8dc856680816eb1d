"""The pool of RTP ports."""

from __future__ import annotations

import pytest

from antiphon.models.errors import ConfigurationError
from antiphon.rtp.port_pool import PortPool, PortsExhausted


def test_ports_are_even_distinct_and_rest_after_use() -> None:
    pool = PortPool(20001, 20009, quarantine=30)
    ports = [pool.acquire(0.0) for _ in range(3)]
    assert ports == [20002, 20004, 20006]
    assert pool.acquire(0.0) == 20008
    with pytest.raises(PortsExhausted, match="widen the range"):
        pool.acquire(1.0)
    pool.release(20004, 5.0)
    pool.release(20004, 6.0)
    with pytest.raises(PortsExhausted):
        pool.acquire(34.9)
    assert pool.acquire(35.0) == 20004
    assert (pool.used, pool.capacity) == (4, 4)
    with pytest.raises(PortsExhausted):
        pool.acquire(100.0)


def test_a_long_time_leaks_nothing() -> None:
    pool = PortPool(30000, 30100, quarantine=2)
    for second in range(500):
        port = pool.acquire(float(second))
        assert port % 2 == 0
        pool.release(port, second + 0.5)
    assert (pool.used, pool.capacity) == (0, 50)


@pytest.mark.parametrize(("first", "last"), [(10000, 10000), (500, 2000), (20000, 10000), (60000, 70000)])
def test_a_range_without_a_pair_is_refused(first: int, last: int) -> None:
    with pytest.raises(ConfigurationError):
        PortPool(first, last)


def test_a_port_that_no_far_end_knew_of_needs_no_rest() -> None:
    pool = PortPool(20000, 20001, quarantine=30)
    pool.release(pool.acquire(0.0), 0.0, used=False)
    assert pool.acquire(0.0) == 20000
    assert (pool.used, pool.capacity) == (1, 1)
