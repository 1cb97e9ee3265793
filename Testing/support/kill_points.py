"""Kills of a process at each of its writes, for tests: what a power cut leaves, wherever it falls."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator

import torch

WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}
"""Python's audit events of calls that change a folder; "open" counts when it is for writing."""

_FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LONGEST_S = 120


def killed_at_each_write(work: Callable[[], object]) -> Iterator[int]:
    """Run ``work`` in forked processes, the n-th of which is ended by SIGKILL just before its n-th write.

    Yields n after each kill, so that the caller sees what is left; ends when ``work`` comes to its end.
    """
    number = 0
    while True:
        number += 1
        status = in_fork(work, lambda number=number: _kill_at(number))
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0, "the work failed without being killed"
            return
        assert os.WTERMSIG(status) == signal.SIGKILL, f"ended by signal {os.WTERMSIG(status)}"
        yield number


def killed_in_the_middle_of_a_file(work: Callable[[], object], limit: int) -> None:
    """Run ``work`` in a forked process that the system ends when a file of it would outgrow ``limit`` bytes."""

    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    status = in_fork(work, prepare)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXFSZ, "no file was that long"


def in_fork(work: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> int:
    """Run ``work`` in a forked process, after ``prepare``; returns its wait status."""
    return os.waitpid(start_fork(work, prepare), 0)[1]


def start_fork(work: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> int:
    """Start ``work`` in a forked process; returns its id. Exit codes: 0 done, 1 an exception.

    Only the forking thread lives on in it, so PyTorch computes with one: a pool of the parent would never answer.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a handler in Python would wait for a call that hangs
        signal.alarm(_LONGEST_S)
        torch.set_num_threads(1)
        prepare()
        work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _kill_at(number: int) -> None:
    left = [number]

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        writes = event in WRITES or (
            event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & _FOR_WRITING)
            and not str(arguments[0]).startswith("/dev/")
        )
        if writes:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
