"""Workers wait for each other, for a limited time, before TensorFlow does.

TensorFlow waits for an hour inside one call, which keeps Python's lock: neither a signal nor a
timer ends it. So each worker listens where its TensorFlow server will be, as a port that is another
process's would be found out too late. The others tell worker 0 their numbers, and when all have
come it lets them go; they make room for the servers.
"""

import contextlib
import errno
import logging
import os
import socket
import time

_LOG = logging.getLogger("drw_tf")
_GO = b"go"
_RETRY_SECONDS = 0.2
# A stranger who connects and says nothing keeps the others waiting for this long; an address that
# answers nothing, as that of a machine that was replaced, is asked for anew after it.
_SILENCE_SECONDS = 5


class NotAllCame(RuntimeError):
    """Workers are missing, or this one has no port; the message is one line for the user."""


def meet(addresses: list[str], own: int, seconds: float) -> None:
    """Returns when all workers have come.

    Args:
        addresses: host:port of each worker's TensorFlow server.
        own: which of them this process is.
        seconds: how long to wait.

    Raises:
        NotAllCame: in this time; or this worker's port was another process's all the time.
        OSError: this worker may not listen on its port.
    """
    deadline = time.monotonic() + seconds
    server = _listen(addresses[own], deadline)
    if server is None:
        raise NotAllCame(f"waited {seconds} seconds: {addresses[own]} is in use by another process")
    with server:
        if own == 0:
            missing = _receive(server, len(addresses), deadline)
            names = ", ".join(addresses[one] for one in sorted(missing))
        else:
            host, _, port = addresses[0].rpartition(":")
            # An IPv6 number stands in brackets, which are not of it.
            chief = host.strip("[]"), int(port)
            names = "" if _announce(chief, own, deadline) else addresses[0]
    if names:
        raise NotAllCame(f"not all workers came within {seconds} seconds: {names} did not")


def _listen(address: str, deadline: float) -> socket.socket | None:
    """A server on the port of host:port, once no other process has it; None if one always had."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    port = int(address.rpartition(":")[2])
    is_told = False
    while True:
        try:
            return socket.create_server(("", port), family=family, dualstack_ipv6=dual)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                reason = os.strerror(error.errno)
                raise OSError(f"this worker cannot listen on {address}: {reason}.") from None
        if time.monotonic() >= deadline:
            return None
        if not is_told:
            _LOG.warning("%s is in use by another process; waiting for it.", address)
            is_told = True
        time.sleep(_RETRY_SECONDS)


def _receive(server: socket.socket, workers: int, deadline: float) -> set[int]:
    """Lets all others go when they have come; the numbers of those that have not."""
    missing = set(range(1, workers))
    with contextlib.ExitStack() as stack:
        come = {}
        while True:
            if not missing:
                # One that died while it waited would keep all in TensorFlow's own wait.
                missing = {number for number, one in come.items() if _has_left(one)}
            if not missing:
                for connection in come.values():
                    with contextlib.suppress(OSError):
                        connection.sendall(_GO)
                return missing
            left = deadline - time.monotonic()
            if left <= 0:
                return missing
            server.settimeout(left)
            try:
                connection = stack.enter_context(server.accept()[0])
                connection.settimeout(min(_SILENCE_SECONDS, left))
                number = int(connection.recv(16))
            except (OSError, ValueError):
                continue
            if 0 < number < workers:
                come[number] = connection  # the newer one, if a worker was started again
                missing.discard(number)


def _has_left(connection: socket.socket) -> bool:
    """Whether the other end is closed, as the kernel does for a process that died."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False  # it waits and says nothing
    except OSError:
        return True


def _announce(address: tuple[str, int], own: int, deadline: float) -> bool:
    """Whether worker 0 was found and let this one go."""
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection(address, min(_SILENCE_SECONDS, left)) as connection:
                connection.sendall(str(own).encode())
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                if connection.recv(16) == _GO:
                    return True
        except OSError:
            pass  # not there yet, or what is left of an earlier run
        time.sleep(_RETRY_SECONDS)
    return False
