"""Silence for native libraries that write to the process's standard error and cannot be told not to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()


def _free() -> None:
    """In a process that was forked while another thread held the lock, nobody would ever release it."""
    global _lock
    _lock = Lock()


os.register_at_fork(after_in_child=_free)


@contextmanager
def without_stderr() -> Iterator[None]:
    """File descriptor 2 leads nowhere meanwhile, for the whole process: keep the block short.

    One thread at a time; a process without standard error is left as it is.
    """
    with _lock:
        try:
            kept = os.dup(2)
        except OSError:
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
