"""Ratios that a busy machine leaves alone: runs in turn, processor time of this process, medians over the turns."""

import statistics
import time


def alternate(runs, repeats, warm_up=1):
    """Run each of ``{name: callable}`` in turn, to warm up and ``repeats`` times more: ``{name: seconds each}``.

    Processor time of all threads: other programs on the same cores make a run longer, but hardly more work.
    """
    times = {name: [] for name in runs}
    for turn in range(warm_up + repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn >= warm_up:
                times[name].append(time.process_time() - start)
    return times


def ratio(times, name, base):
    """Median over the turns of one run's time in that of another."""
    return statistics.median(own / plain for own, plain in zip(times[name], times[base], strict=True))
