"""What users' code may rely on, as text: names and parameters of `hrcam`, of the module's logic, of commands.

    python Testing/release/public_api.py           print it
    python Testing/release/public_api.py --write   accept it as docs/public-api.txt (make api)

A test compares; so a public name changes on purpose or not at all.
"""

import ast
import dataclasses
import inspect
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PATH = REPOSITORY / "docs" / "public-api.txt"
MODULE = REPOSITORY / "HRCAMModule" / "HRCAMModuleLib"


def public_api():
    """One line a name, sorted within its part."""
    inherited = (line.replace("ViewsLogic.", "HRCAMModuleLogic.") for line in _class("logic_views", "ViewsLogic"))
    logic = sorted([*_class("logic", "HRCAMModuleLogic"), *inherited])
    results = [*_class("localization", "Localization"), *_class("comparison", "Comparison")]
    parts = {"Python: hrcam": _python(), "Slicer: logic and results": [*logic, *results],
             "Command line": _commands()}
    return "\n".join(line for title, lines in parts.items() for line in (f"# {title}", *lines, "")) + "\n"


def _python():
    import hrcam
    from hrcam.localize import localize

    lines = []
    for name in sorted(hrcam.__all__):
        value = getattr(hrcam, name)
        if inspect.isclass(value):
            lines += [f"hrcam.{name}{_parameters(value)}", *sorted(_members(name, value))]
        else:
            lines.append(f"hrcam.{name}{_parameters(value) if callable(value) else ''}")
    return [*lines, f"hrcam.localize.localize{_parameters(localize)}"]


def _members(name, cls):
    own = {key: value for base in reversed(cls.__mro__) if base.__module__.startswith("hrcam")
           for key, value in vars(base).items() if not key.startswith("_")}
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    for key in fields | own.keys():
        value = own.get(key)
        yield f"hrcam.{name}.{key}{_parameters(value) if inspect.isfunction(value) else ''}"


def _parameters(value):
    """Names, kinds and defaults; annotations are left out, which Python versions print in different ways."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    plain = [one.replace(annotation=inspect.Parameter.empty, default=_default(one.default))
             for one in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))


class _Text(str):
    def __repr__(self):
        return str(self)


def _default(value):
    if value is inspect.Parameter.empty or isinstance(value, (str, int, float, bool, tuple, type(None))):
        return value
    return _Text("…")


def _class(file, name):
    tree = ast.parse((MODULE / f"{file}.py").read_text(encoding="utf-8"))
    cls, = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    lines = []
    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            is_property = any(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list)
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                argument.annotation = None
            if node.args.kwarg:
                node.args.kwarg.annotation = None
            lines.append(f"{name}.{node.name}" + ("" if is_property else f"({ast.unparse(node.args)})"))
    return sorted(lines)


def _commands():
    import typer.main
    from hrcam.cli.app import COMMANDS, build_app

    lines = []
    for name in sorted(set(COMMANDS) - {"worker"}):
        command = typer.main.get_command(build_app(name)).commands[name]
        words = ["|".join(one.opts) if one.param_type_name == "option" else one.name
                 for one in command.params]
        lines += [f"hrcam {name} {word}" for word in words]
    return lines


if __name__ == "__main__":
    text = public_api()
    if "--write" in sys.argv[1:]:
        PATH.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
