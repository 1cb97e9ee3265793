"""The public interface changes on purpose only."""

import difflib
import sys

from documents import DOCS, REPOSITORY

sys.path.insert(0, str(REPOSITORY / "Testing" / "release"))

import public_api


def test_public_names_and_options_are_those_that_were_accepted():
    accepted = (DOCS / "public-api.txt").read_text(encoding="utf-8")
    present = public_api.public_api()
    changed = "\n".join(difflib.unified_diff(accepted.splitlines(), present.splitlines(), "accepted", "code",
                                             lineterm="", n=0))
    assert not changed, f"{changed}\nIf this is meant: make api, and a line in CHANGELOG.md."


def test_the_list_notices_a_changed_default_and_a_new_parameter():
    def before(scan, plane="auto"):
        return scan, plane

    def after(scan, plane="axial", speed=None):
        return scan, plane, speed

    assert public_api._parameters(before) == "(scan, plane='auto')"
    assert public_api._parameters(after) == "(scan, plane='axial', speed=None)"


def test_importing_the_package_needs_no_torch_and_gives_every_public_name():
    import subprocess

    code = "import hrcam, sys; assert 'torch' not in sys.modules; [getattr(hrcam, name) for name in hrcam.__all__]"
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / "HRCAMExtension", capture_output=True,
                         text=True, check=False)
    assert run.returncode == 0, run.stderr
