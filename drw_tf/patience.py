"""Reading from a disk that may be gone for a moment, as a network's is."""

import errno
import time
from collections.abc import Callable

# What a network disk that is gone, or a machine that is short of something, says of any file.
OF_A_DISK = frozenset(
    (
        *(errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
        *(errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    )
)
# What may pass: these, and an error of reading, which may as well be a bad sector.
_MAY_PASS = OF_A_DISK | {errno.EIO}
PAUSES_SECONDS = (1.0, 4.0)


class Patience:
    """What is waited for a disk in one scan: in vain it is waited once, until a file is read."""

    def __init__(self):
        self.pauses = PAUSES_SECONDS

    def read(self, function: Callable):
        """What `function` gives, which is called again where its error may pass."""
        for pause in (*self.pauses, None):
            try:
                found = function()
            except OSError as error:
                if error.errno not in _MAY_PASS:
                    raise
                if pause is None:
                    self.pauses = ()
                    raise
                time.sleep(pause)
            else:
                self.pauses = PAUSES_SECONDS
                return found
