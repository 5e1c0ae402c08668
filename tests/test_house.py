"""The rules of the house, checked: floors, circles, folders, names, docstrings, the public face, costs of imports."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from command import make_video
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import frieren

HOUSE = Path(frieren.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))

# A room imports from lower floors and, inside a folder, from its folder-mates. Rooms of one floor are strangers.
FLOORS = {
    0: "clock formats frames errors version heartbeat noise_schedule",
    1: "nets limits flow solver diffusion windows spectrogram media files configs picture categories longwave "
    "isolation rows redo",
    2: "weights paths autoregression world openvideo sounds arrays cues motion unfinished",
    3: "official video remux features latent mel wave loudness tiny recognition sound_recognition strikes "
    "conditioning seen",
    4: "soundtrack record spotting",
    5: "pipeline dataset",
    6: "catalogue",
    7: "training evaluation service __init__",
    8: "reproduction",
    9: "apps",
    10: "__main__",
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms.split()}
# Names that say nothing about what a file yields.
EMPTY_NAMES = {"utils", "util", "common", "helpers", "misc", "base", "core", "manager", "tools", "v2"}
LONGEST_FILE, LONGEST_FUNCTION = 400, 60  # lines
LARGEST_FOLDER = 16  # files
# What is still to be renamed; it only shrinks.
KNOWN_TWICE: set[str] = set()


def name_of(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def room_of(path: Path) -> str:
    """The file or folder at the top level of the package that `path` belongs to."""
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What a file imports, wherever in it, as (module, name); a module that is imported whole has the name "".

    Imports for type checkers alone are not imports.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imports(other)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)
        else:
            yield from imports(node)


def imported(tree: ast.AST) -> Iterator[str]:
    """Top-level rooms that a file imports; "__init__" is the package itself, which stands above all but the apps."""
    for module, name in imports(tree):
        parts = module.split(".")
        if parts == ["frieren"]:
            yield public_room(name)
        elif parts[0] == "frieren":
            yield parts[1]


def public_room(name: str) -> str:
    """The room that `from frieren import name` reaches into; "" is `import frieren`."""
    if name in FLOOR_OF:
        return name
    if name not in frieren.__all__:
        return "__init__"
    module = frieren._LAZY[name][0] if name in frieren._LAZY else getattr(frieren, name).__module__
    return module.split(".")[1]


def module_of(path: Path) -> str:
    """The module's name of a file: frieren/nets/field.py -> frieren.nets.field."""
    parts = ("frieren", *path.relative_to(HOUSE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of modules of which each reaches every other by imports, sorted."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            ahead += (new := {*graph.get(ahead.pop(), ())} - seen)
            seen |= new
        return seen

    reach = {module: reached(module) for module in graph}
    tied = {
        frozenset(other for other in reach[one] if one in reach.get(other, ())) for one in graph if one in reach[one]
    }
    return sorted(sorted(group) for group in tied)


def import_graph() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports; of a package's name that is none, its __init__."""
    modules = {module_of(path) for path in FILES}
    graph = {}
    for path in FILES:
        whole = {
            f"{module}.{name}" if f"{module}.{name}" in modules else module for module, name in imports(parse(path))
        }
        graph[module_of(path)] = whole & modules - {module_of(path)}
    return graph


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def strangers(path: Path) -> list[str]:
    """Rooms that `path` imports and may not."""
    room = room_of(path)
    return sorted({other for other in imported(parse(path)) if other != room and FLOOR_OF[other] >= FLOOR_OF[room]})


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms <= FLOOR_OF.keys(), f"no floor for {sorted(rooms - FLOOR_OF.keys())}"


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) != "__init__"], ids=name_of)
def test_imports_only_go_down(path: Path) -> None:
    assert not strangers(path), f"{name_of(path)} on floor {FLOOR_OF[room_of(path)]} imports {strangers(path)}"


def test_the_floor_check_sees_every_import() -> None:
    source = "def f():\n    import frieren.pipeline\n    from frieren.video import read_frames\n"
    source += "    from frieren import load, clock\nimport frieren\nfrom frieren import __version__\n"
    assert sorted(imported(ast.parse(source))) == ["__init__", "__init__", "catalogue", "clock", "pipeline", "video"]
    guarded = "if TYPE_CHECKING:\n    from frieren.apps import cli\n"
    assert not list(imported(ast.parse(guarded)))


def test_imports_have_no_circle() -> None:
    """Inside folders too, and whatever function an import hides in."""
    assert not circles(import_graph())


def test_circles_are_seen() -> None:
    graph = {"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": ["d"], "e": ["a"]}
    assert circles(graph) == [["b", "c"], ["d"]]
    assert {"frieren.flow", "frieren.nets.field"} & import_graph()["frieren.latent"]


def test_folders_are_small() -> None:
    """Top level and kinds, which are lists to be read at a glance, apart."""
    counts = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in FILES}}
    large = {name_of(folder): count for folder, count in counts.items() if count > LARGEST_FOLDER}
    assert large.keys() <= {".", "world/kinds"}


def test_a_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for path in FILES:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{name_of(path)}:{node.lineno}")
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert twice.keys() <= KNOWN_TWICE, twice


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_keeps_the_rules(path: Path) -> None:
    tree = parse(path)
    assert ast.get_docstring(tree), "a docstring opens every file"
    assert path.stem not in EMPTY_NAMES, "a file is named for what it yields"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{lines} lines: this wants to be two rooms with two names"
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: bare except"
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and room_of(path) != "apps":
            assert node.func.id != "print", f"line {node.lineno}: only apps print"


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) in FLOORS[0].split()], ids=name_of)
def test_plain_data_types_do_not_import_torch(path: Path) -> None:
    names = {alias.name for node in parse(path).body if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in parse(path).body if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.split(".")[0] in ("torch", "numpy")}


def test_public_names_are_sorted_and_all_there() -> None:
    assert frieren.__all__ == sorted(frieren.__all__)
    assert len(set(frieren.__all__)) == len(frieren.__all__)
    for name in frieren.__all__:
        assert getattr(frieren, name) is not None
    eager = {name for name, value in vars(frieren).items() if getattr(value, "__module__", "").startswith("frieren.")}
    assert {name for name in eager | frieren._LAZY.keys() if not name.startswith("_")} == set(frieren.__all__)


def test_an_unknown_public_name_is_an_error_that_helps() -> None:
    with pytest.raises(AttributeError, match="read_frames"):
        frieren.nonsense  # noqa: B018


def fresh(code: str) -> str:
    """What a new Python prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


HEAVY = "{'torch', 'numpy', 'av', 'soundfile', 'soxr', 'librosa', 'scipy', 'huggingface_hub', 'matplotlib'}"


def test_import_frieren_costs_nothing_heavy() -> None:
    assert fresh(f"import frieren, sys; print({HEAVY} & set(sys.modules))").strip() == "set()"


def test_help_costs_nothing_heavy() -> None:
    code = (
        "import sys\nfrom frieren.apps.cli import main\n"
        "for verb in ([], ['generate'], ['world', 'render'], ['train'], ['doctor']):\n"
        "    try:\n        main([*verb, '--help'])\n    except SystemExit as end:\n        assert end.code == 0\n"
        f"print({HEAVY} & set(sys.modules))"
    )
    assert fresh(code).splitlines()[-1] == "set()"


def test_generate_imports_no_compiler_and_nothing_for_scores(tmp_path: Path) -> None:
    """Each of these takes longer to import than a short clip to generate."""
    clip = make_video(tmp_path / "clip.mp4", seconds=1.2)
    slow = "{'torch._dynamo', 'torch._inductor', 'sympy', 'scipy', 'librosa', 'numba', 'matplotlib', 'huggingface_hub'}"
    code = (
        "import sys\nfrom frieren.apps.cli import main\n"
        "for model in ('mini-1step', 'tiny'):\n"
        f"    try:\n        main(['generate', {str(clip)!r}, '--overwrite', '--model', model])\n"
        "    except SystemExit as end:\n        assert not end.code, end.code\n"
        f"print({slow} & set(sys.modules))"
    )
    assert fresh(code).splitlines()[-1] == "set()"


def test_import_frieren_needs_no_extras() -> None:
    """The whole generating half imports without the packages of the extras."""
    code = (
        "import sys\n"
        "for name in ('librosa', 'scipy', 'mir_eval', 'matplotlib', 'pyloudnorm', 'hypothesis'):\n"
        "    sys.modules[name] = None\n"
        "import frieren, frieren.pipeline, frieren.video, frieren.world, frieren.official\n"
        "frieren.load('tiny')\nprint('fine')"
    )
    assert fresh(code).strip() == "fine"


def test_pins_are_exact_cover_what_is_required_and_name_no_build() -> None:
    root = HOUSE.parent
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 and "+" not in line and "/" not in line for line in pins)
    pinned = {canonicalize_name(line.split("==")[0]): Version(line.split("==")[1]) for line in pins}
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = [
        Requirement(text) for text in (*project["dependencies"], *extras["dev"], *extras["docs"], *extras["eval"])
    ]
    for each in required:
        if each.name != "frieren":
            assert pinned[canonicalize_name(each.name)] in each.specifier, each
