"""Addresses of the processes of a run, `host:port`."""

import contextlib
import errno
import socket
import time

from keras_rescnet.mistake import Mistake, ProcessLost
from keras_rescnet.training.engines.waiting import LOST


@contextlib.contextmanager
def listening(address):
    """Listens at this process's own address.

    Raises:
        Mistake: If the port is in use. TensorFlow and JAX would end with a traceback or a
            segmentation fault.
    """
    with contextlib.closing(socket.socket()) as listener:
        # Without it, a port counts as in use for a minute after its last connection has closed
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", int(address.rpartition(":")[2])))
            listener.listen(socket.SOMAXCONN)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise Mistake(
                "The port of this process's address must be free: wait for the program that uses "
                f"it, or choose another. Received: {address} ({error.strerror})."
            ) from None
        yield


def meet(addresses, index, timeout):
    """Waits until all processes of a run have started.

    TensorFlow waits for them too, but for five minutes, in C++, and with Python's lock in its
    hand, so that nothing can end it. Every process listens at its own address until it has reached
    all others; from then on its TensorFlow listens there, which answers those that come later.

    Args:
        addresses: Those of all processes.
        index: The place of this process among them.
        timeout: Seconds to wait.

    Raises:
        ProcessLost: If one cannot be reached in that time.
        Mistake: If the port of this process is in use.
    """
    missing = [address for place, address in enumerate(addresses) if place != index]
    end = time.monotonic() + timeout
    with listening(addresses[index]):
        while missing:
            missing = [address for address in missing if not _answers(address)]
            if missing and time.monotonic() > end:
                where = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
                raise ProcessLost(LOST.format(f"none at {where} after {timeout:g} s"))
            time.sleep(0.1 if missing else 0.0)


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1.0).close()
    except OSError:  # not there yet, or a name that is not known yet
        return False
    return True
