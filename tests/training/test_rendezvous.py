"""Workers find each other, or say who is missing, in bounded time."""

import contextlib
import errno
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


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as one:
        one.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_address_of_ipv6_is_found_in_its_brackets(addresses):
    numeric = [one.replace("127.0.0.1", "[::1]") for one in addresses]
    assert run(numeric, (0, 1, 2), 5) == {0: None, 1: None, 2: None}


def test_an_address_that_does_not_answer_is_tried_again_long_before_the_wait_ends(
    addresses, monkeypatch
):
    connect, timeouts = socket.create_connection, []

    def first_in_vain(address, timeout):
        timeouts.append(timeout)
        if len(timeouts) == 1:
            raise TimeoutError
        return connect(address, timeout)

    monkeypatch.setattr(socket, "create_connection", first_in_vain)
    assert run(addresses, (0, 1, 2), 20) == {0: None, 1: None, 2: None}
    assert max(timeouts) <= 5


def test_the_ports_are_free_afterwards(addresses):
    run(addresses, (0, 1, 2), 20)
    for address in addresses:
        taken(address).close()


def taken(address):
    """A server of a stranger on the port of this address."""
    return socket.create_server(("127.0.0.1", int(address.rpartition(":")[2])))


@pytest.mark.parametrize("number", [0, 1])
def test_a_port_that_is_in_use_is_named_at_once_and_waited_for(addresses, number, caplog):
    found = {}
    all_three = threading.Thread(target=lambda: found.update(run(addresses, (0, 1, 2), 20)))
    with taken(addresses[number]):
        all_three.start()
        time.sleep(0.5)
        assert caplog.messages == [
            f"{addresses[number]} is in use by another process; waiting for it."
        ]
        assert found == {}
    all_three.join(20)
    assert found == {0: None, 1: None, 2: None}


@pytest.mark.parametrize(("number", "others"), [(0, {1: 0, 2: 0}), (2, {0: 2, 1: 0})])
def test_a_port_that_stays_in_use_ends_all_in_bounded_time(addresses, number, others):
    began = time.monotonic()
    with taken(addresses[number]):
        found = run(addresses, (0, 1, 2), 0.5)
    assert time.monotonic() - began < 10
    assert all(isinstance(error, rendezvous.NotAllCame) for error in found.values())
    assert str(found[number]) == (
        f"waited 0.5 seconds: {addresses[number]} is in use by another process"
    )
    for other, missing in others.items():
        assert str(found[other]).endswith(f"within 0.5 seconds: {addresses[missing]} did not")


def test_two_workers_of_one_address_are_noticed(addresses):
    same = [addresses[0], addresses[1], addresses[1]]
    first = threading.Thread(target=run, args=(same, (1,), 1.5))
    first.start()
    time.sleep(0.3)
    with pytest.raises(rendezvous.NotAllCame, match=f"{addresses[1]} is in use by another"):
        rendezvous.meet(same, 2, 0.5)
    first.join(20)


def test_a_port_that_is_not_this_users_is_one_line(addresses, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied (while attempting to bind)")

    monkeypatch.setattr(socket, "create_server", refused)
    with pytest.raises(OSError, match=f"^this worker cannot listen on {addresses[1]}: Permission "):
        rendezvous.meet(addresses, 1, 20)


@pytest.mark.parametrize(
    ("there", "missing"), [((0, 1), {0: 2, 1: 0}), ((1,), {1: 0}), ((0,), {0: 1})]
)
def test_who_is_missing_is_named_in_bounded_time(addresses, there, missing):
    began = time.monotonic()
    found = run(addresses, there, 0.6)
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
    chief = threading.Thread(target=lambda: found.update(run(addresses, (0,), 1.2)))
    chief.start()
    time.sleep(0.3)
    died(announced(addresses[0], 1), rudely=False)
    with announced(addresses[0], 2):
        chief.join(20)
    assert isinstance(found[0], rendezvous.NotAllCame)
    assert addresses[1] in str(found[0])
    assert addresses[2] not in str(found[0])
