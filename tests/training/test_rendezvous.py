"""Workers find each other, or say who is missing, in bounded time."""

import socket
import struct
import threading
import time

import pytest

from drw_tf.training import rendezvous
from tests.training import processes


def run(addresses, numbers, seconds):
    """number -> None or the exception of each of these workers, each a thread."""
    found = {}

    def one(number):
        try:
            found[number] = rendezvous.meet(addresses, number, seconds)
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(30)
    return found


@pytest.fixture
def addresses():
    return [f"127.0.0.1:{port}" for port in processes.free_ports(3)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_all_go_when_all_have_come_in_any_order(addresses, order):
    assert run(addresses, order, 20) == {0: None, 1: None, 2: None}


def test_the_port_is_free_afterwards(addresses):
    run(addresses, (0, 1, 2), 20)
    with socket.create_server(("127.0.0.1", int(addresses[0].rpartition(":")[2]))):
        pass


@pytest.mark.parametrize(
    ("there", "missing"), [((0, 1), {0: 2, 1: 0}), ((1,), {1: 0}), ((0,), {0: 1})]
)
def test_who_is_missing_is_named_in_bounded_time(addresses, there, missing):
    began = time.monotonic()
    found = run(addresses, there, 1)
    assert time.monotonic() - began < 10
    for number in there:
        assert isinstance(found[number], rendezvous.NotAllCame)
        assert addresses[missing[number]] in str(found[number])


def test_strangers_and_workers_started_again_do_no_harm(addresses):
    host, _, port = addresses[0].rpartition(":")
    kept = []

    def disturb():
        for greeting in (b"GET / HTTP/1.1", b"7", b"0", b"", b"1"):
            connection = socket.create_connection((host, int(port)), 5)
            connection.sendall(greeting)
            if greeting == b"1":
                kept.append(connection)  # a worker that was started again holds its old one
            else:
                connection.close()

    chief = threading.Thread(target=run, args=(addresses, (0,), 20))
    chief.start()
    time.sleep(0.3)
    disturb()
    assert run(addresses, (1, 2), 20) == {1: None, 2: None}
    chief.join(20)
    assert not chief.is_alive()
    kept[0].close()


def announced(address, number):
    """A connection of a worker that has come and waits."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), 5)
    connection.sendall(str(number).encode())
    time.sleep(0.2)  # until it is counted
    return connection


def died(connection, rudely):
    """Its end as the kernel makes it; rudely with a reset, as where something was unread."""
    if rudely:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("rudely", [False, True])
def test_a_worker_that_died_while_it_waited_is_waited_for_again(addresses, rudely):
    found = {}
    chief = threading.Thread(target=lambda: found.update(run(addresses, (0,), 20)))
    chief.start()
    time.sleep(0.3)
    died(announced(addresses[0], 1), rudely)
    with announced(addresses[0], 2) as other:
        other.settimeout(0.5)
        with pytest.raises(TimeoutError):
            other.recv(16)  # not let go: the first one is gone
        assert run(addresses, (1,), 20) == {1: None}
        other.settimeout(10)
        assert other.recv(16) == b"go"
    chief.join(20)
    assert found == {0: None}


def test_a_worker_that_died_while_it_waited_is_named(addresses):
    found = {}
    chief = threading.Thread(target=lambda: found.update(run(addresses, (0,), 2)))
    chief.start()
    time.sleep(0.3)
    died(announced(addresses[0], 1), rudely=False)
    with announced(addresses[0], 2):
        chief.join(20)
    assert isinstance(found[0], rendezvous.NotAllCame)
    assert addresses[1] in str(found[0])
    assert addresses[2] not in str(found[0])
