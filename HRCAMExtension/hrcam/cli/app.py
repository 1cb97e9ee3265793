"""The command ``hrcam``: a table of sub-commands, each imported only when it is called, and their errors in words.

Exit codes: 0 everything done, 1 something failed (a case, an input, a file), 2 wrong usage.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Annotated, Any

import typer

from ..errors import HRCAMError
from ..run.memory import keep_memory
from ..words import printable

COMMANDS: dict[str, tuple[str, str]] = {
    "localize": ("hrcam.cli.localize:localize_files", "Localize pathology in scans: classes, evidence maps, regions."),
    "batch": ("hrcam.cli.batch:batch", "Localize pathology in many scans, resumable, on several processes or hosts."),
    "compare": ("hrcam.cli.compare:compare_files", "Compare two dates: what is new, growing, stable, gone."),
    "cohort": ("hrcam.cli.cohort:cohort", "Sum up the results of a batch by groups, in MNI space."),
    "models": ("hrcam.cli.models:models", "List the models that are there, or add one."),
    "demo": ("hrcam_research.demo:demo", "Localize a simulated lesion in a real template and show the truth too."),
    "evaluate": ("hrcam_research.evaluate.command:evaluate", "Compare localization methods where lesions are known."),
    "train": ("hrcam_train.command:train", "Train a model from image-level labels, with your own CNN if you like."),
    "train-pairs": ("hrcam_research.paired.command:train_pairs", "Train a model on simulated pairs of images."),
    "simulate": ("hrcam_research.simulate.command:simulate", "Simulate images with lesions of known place."),
    "worker": ("hrcam.worker.worker:main", "Serve localizations over standard input and output, as 3D Slicer uses it."),
}
"""Name to (where its function is, what it does in one line). A new command is a new line here."""

DEBUG_FLAG = "--debug"
DEBUG_VARIABLE = "HRCAM_DEBUG"


def build_app(chosen: str | None = None) -> typer.Typer:
    """The Typer application: the chosen sub-command in full, the others by their summary alone, not imported."""
    app = typer.Typer(
        name="hrcam",
        help="HR-CAM: precise localization of pathology from image-level labels. Research use only.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_global_options)
    for name, (target, summary) in COMMANDS.items():
        if name == chosen:
            app.command(name)(_load(target))
        else:
            app.command(name, help=summary)(_not_chosen)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Expected failures are one sentence on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if DEBUG_FLAG in given:
        os.environ[DEBUG_VARIABLE] = "1"
        given = [one for one in given if one != DEBUG_FLAG]
    chosen = next((one for one in given if not one.startswith("-")), None)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # names may hold letters that the terminal has not
    keep_memory()
    try:
        with _ending_in_order():
            build_app(chosen)(args=given, prog_name="hrcam")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 1
    except Exception as error:
        if debugging():
            raise
        print(describe(error), file=sys.stderr)
        return 1
    return 0


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let a request to end (``kill``, a closed terminal) unwind like Ctrl+C, so that nothing half-written stays.

    Commands that have handlers of their own, as the worker, replace these.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    former = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and threading.current_thread() is threading.main_thread() \
                and signal.getsignal(number) is signal.SIG_DFL:
            former[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def debugging() -> bool:
    """Whether unexpected errors shall show their traceback (``--debug`` or HRCAM_DEBUG)."""
    return bool(os.environ.get(DEBUG_VARIABLE))


def describe(error: BaseException) -> str:
    """One sentence for an error: its own words if it is expected, else its kind and how to see more.

    Names of files and texts of models may be part of it, so it is printable: nothing in it steers a terminal.
    """
    if isinstance(error, HRCAMError):
        return printable(f"Error: {error}")
    if isinstance(error, ImportError) and error.name:
        return f"Error: the Python package {error.name} is missing. Install it with: pip install 'hrcam[cli]'"
    return printable(f"Unexpected error: {type(error).__name__}: {error}. Run again with {DEBUG_FLAG} for details, and "
                     "please report it.")


def _print_version(asked: bool) -> None:
    if asked:
        from ..version import __version__

        print(f"hrcam {__version__}")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG_FLAG, help="Show the traceback of an error; works anywhere.")] = False,
) -> None:
    del version, debug  # one exits before, the other is taken out of the arguments before they are parsed


def _not_chosen() -> None:
    raise AssertionError("only the chosen command runs")


def _load(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found
