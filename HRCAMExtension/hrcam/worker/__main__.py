"""``python -m hrcam.worker``."""

from .worker import main

main()
