"""Memory that a network asks for in every layer stays with the process, instead of going back each time."""

from __future__ import annotations

import ctypes
import os
import sys

KEEPING = (("MALLOC_TRIM_THRESHOLD_", -1, 1 << 30), ("MALLOC_MMAP_THRESHOLD_", -3, 1 << 25))
"""glibc's variable, its number for ``mallopt``, bytes; 32 MiB is the most that glibc takes for the second."""


def keep_memory() -> None:
    """Let glibc keep freed blocks of up to 32 MiB, a GiB of them, for the process's next request.

    By default blocks of more than 128 KiB to 32 MiB come fresh from the system each time, which clears their pages: a
    third of a slice's time on CPUs. For processes of one's own, such as the command and the worker, not for a library's
    host. A user's own setting of the environment variables wins; without glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return
    for variable, number, value in KEEPING:
        if variable not in os.environ:
            mallopt(number, value)
