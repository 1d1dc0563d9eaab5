"""Faults between a client and a real server, the same ones on every store; see the module `trial`.

==========================  =========================================================  ===========
fault                       how                                                        on
==========================  =========================================================  ===========
connection refused          the proxy listens no more                                  all
reset before the request    the proxy, as the request arrives                          all
reset after it was applied  the proxy drops the answer                                 all
answers 3 s late            the proxy holds request and answer                         all
killed and restarted        SIGKILL, the same data                                     not moto
paused past the time-out    SIGSTOP, SIGCONT                                           all
throttled, 503              the proxy answers in the server's place                    s3, dynamodb
wrong credentials           see ``test_faults_trust.py``                               all
expired certificate         see ``test_faults_trust.py``                               all
deleted underneath          see ``test_faults_deleted.py``                             all
==========================  =========================================================  ===========

No emulator throttles by itself; etcd and RethinkDB have no such answer. moto's server forgets
everything when it is killed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest

from discfg_core.errors import OutcomeUnknown, StoreBusy, StoreUnavailable, Timeout
from discfg_core.testing.proxy import FaultProxy, http_answer
from tests.stores.places import DURABLE, SERVED, by_port, fresh, open_client, port_of
from tests.stores.trial import NAME, TIMEOUT, Trial

if TYPE_CHECKING:
    from tests.servers.plugin import Servers

# Of a stream that is neither HTTP nor gRPC, the proxy takes any byte for the answer.
_SETTLE = {"rethinkdb": 0.3}

_THROTTLED = {
    "s3": http_answer(
        503, b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
    ),
    "dynamodb": http_answer(
        400,
        b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",'
        b'"message":"The level of configured provisioned throughput was exceeded."}',
        content_type="application/x-amz-json-1.0",
    ),
}


class Way(NamedTuple):
    """A client, and the proxy that it goes through."""

    trial: Trial
    proxy: FaultProxy


@pytest.fixture
def way(servers: Servers, store: str) -> Iterator[Way]:
    """Through a proxy to a place of one's own on the shared server; judged at the end."""
    direct = fresh(servers.url(store))
    with (
        FaultProxy("127.0.0.1", port_of(direct)) as proxy,
        Trial(by_port(direct, proxy.port), direct) as trial,
    ):
        yield Way(trial, proxy)
        # Where the test failed, too: the judge asks through the proxy.
        proxy.clear()


@pytest.mark.parametrize("store", SERVED)
def test_connection_refused(way: Way) -> None:
    trial, proxy = way
    proxy.refuse()
    # A client that has not noticed yet may send a write on the connection that was reset.
    assert trial.fails(lambda: trial.config.get("warm")).retryable
    for error in (trial.write(), trial.write(), trial.fails(lambda: trial.config.get("warm"))):
        # Nothing was sent, so nothing is in doubt.
        assert isinstance(error, StoreUnavailable | Timeout), repr(error)
        assert error.retryable
    proxy.clear()
    trial.works_again()


@pytest.mark.parametrize("store", SERVED)
def test_nobody_was_ever_there(servers: Servers, store: str) -> None:
    with FaultProxy("127.0.0.1", 1) as proxy:
        url = by_port(fresh(servers.url(store)), proxy.port)
        proxy.refuse()
        client = open_client(url, TIMEOUT)
        try:
            config = client.config(NAME)
            for call in (lambda: config.get("key"), lambda: config.set("key"), client.names):
                with pytest.raises(StoreUnavailable) as caught:
                    call()
                # Not that there was no time: what was wrong all the time.
                assert str(proxy.port) in caught.value.message, caught.value.message
                assert caught.value.hint
        finally:
            client.close()


@pytest.mark.parametrize("store", SERVED)
def test_reset_before_the_request_arrived(way: Way) -> None:
    trial, proxy = way
    fault = proxy.reset_before(times=1)
    assert trial.write(patient=True) is None
    assert fault.hits == 1
    fault = proxy.reset_before()
    for error in (trial.write(), trial.write(), trial.fails(lambda: trial.config.get("warm"))):
        assert error is not None
    assert fault.hits >= 3
    proxy.clear()
    trial.works_again()


@pytest.mark.parametrize("store", SERVED)
def test_reset_after_the_request_was_applied(way: Way, store: str) -> None:
    trial, proxy = way
    settle = _SETTLE.get(store, 0.0)
    fault = proxy.reset_after(times=1, settle=settle)
    assert trial.write(patient=True) is None
    assert fault.hits == 1
    fault = proxy.reset_after(settle=settle)
    for _ in range(2):
        assert trial.write() is not None
    trial.fails(lambda: trial.config.get("warm"))
    assert fault.hits >= 2
    assert trial.unknown, "no write was sent"
    proxy.clear()
    trial.works_again()
    # The first of them did reach the server, which answered.
    assert trial.witness.config("trial").outcome(next(iter(trial.unknown))) is not None


@pytest.mark.parametrize("store", SERVED)
def test_answers_come_three_seconds_late(way: Way) -> None:
    trial, proxy = way
    fault = proxy.delay(3.0, times=1)
    error = trial.write()
    fault.wait()
    proxy.clear()
    # It may be applied from now on, and then it must not have been called undone.
    assert isinstance(error, OutcomeUnknown | None), repr(error)
    trial.works_again()
    fault = proxy.delay(3.0, times=1)
    begin = time.monotonic()
    assert trial.write(patient=True) is None
    assert time.monotonic() - begin < 15
    assert fault.hits == 1


@pytest.mark.parametrize("store", ["s3", "dynamodb", "moto"])
def test_throttled(way: Way) -> None:
    trial, proxy = way
    answer = _THROTTLED[trial.scheme]
    fault = proxy.answer(answer, times=3)
    assert trial.write(patient=True) is None
    assert fault.hits == 3
    fault = proxy.answer(answer)
    for error in (trial.write(), trial.fails(lambda: trial.config.get("warm"))):
        assert isinstance(error, StoreBusy | Timeout), repr(error)
        assert error.retryable
    assert not trial.unknown, "a throttled request surely did nothing"
    assert fault.hits >= 2
    proxy.clear()
    trial.works_again()


@pytest.mark.parametrize("store", DURABLE)
def test_killed_and_restarted(servers: Servers, store: str) -> None:
    with servers.own(store) as server, Trial(url := fresh(server.url), url) as trial:
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                trial.write()

        # One write may be under way when it dies.
        writer = threading.Thread(target=write)
        writer.start()
        try:
            end = time.monotonic() + 30
            while len(trial.acked) < 3 and time.monotonic() < end:
                time.sleep(0.01)
            server.kill()
            time.sleep(TIMEOUT)
        finally:
            stop.set()
            writer.join()
        before = len(trial.acked)
        assert before >= 3
        assert trial.refused or trial.unknown
        error = trial.fails(lambda: trial.config.get("warm"))
        assert isinstance(error, StoreUnavailable | Timeout)
        server.start()
        trial.works_again()
        assert len(trial.acked) == before + 1


@pytest.mark.parametrize("store", SERVED)
def test_paused_past_the_timeout(servers: Servers, store: str) -> None:
    with servers.own(store) as server, Trial(url := fresh(server.url), url) as trial:
        server.pause()
        try:
            # It was sent, and is applied as the server goes on.
            error = trial.write()
            assert isinstance(error, OutcomeUnknown), repr(error)
            assert trial.write() is not None
            trial.fails(lambda: trial.config.get("warm"))
        finally:
            server.resume()
        trial.works_again()
