"""Long work in small steps: how much of it runs in one turn of the event loop."""

import pytest

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

pytest.importorskip("slicer")


@pytest.mark.parametrize(("budget", "turns"), [(0.0, 4), (10.0, 1)])
def test_without_a_budget_the_event_loop_gets_a_turn_after_each_step(panel, slicerHost, budget, turns):
    from HRCAMModuleLib.steps import StepRunner

    taken, done = [], []

    def steps():
        for number in range(3):
            yield number / 3
        return "end"

    runner = StepRunner(steps(), done.append, pytest.fail, taken.append, budget)
    runner.start()
    slicerHost.waitUntil(lambda: done)
    assert done == ["end"] and len(taken) == turns - 1  # the last turn ends the work
