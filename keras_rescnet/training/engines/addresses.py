"""Addresses of the processes of a run, `host:port`."""

import contextlib
import errno
import socket

from keras_rescnet.mistake import Mistake


def is_address(value):
    """Returns whether `value` is a string `host:port` with a port from 1 to 65535."""
    if not isinstance(value, str):
        return False
    host, separator, port = value.rpartition(":")
    plain = host and not any(letter.isspace() for letter in host)
    return bool(plain and separator and port.isascii() and port.isdigit() and 0 < int(port) < 65536)


def check_port(address):
    """Checks that this process can listen at its own address.

    TensorFlow and JAX end with a traceback or a segmentation fault otherwise.

    Raises:
        Mistake: if the port is in use.
    """
    port = int(address.rpartition(":")[2])
    with contextlib.closing(socket.socket()) as listener:
        # Without it, a port counts as in use for a minute after its last connection has closed
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
            listener.listen()
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise Mistake(
                    "The port of this process's address must be free: wait for the program that "
                    f"uses it, or choose another. Received: {address} ({error.strerror})."
                ) from None
