"""``python -m hrcam``: the command ``hrcam``; the worker runs without Typer too, as inside Slicer."""

import sys

if sys.argv[1:] == ["worker"]:
    from .worker.worker import main
else:
    from .cli.app import main

sys.exit(main())
