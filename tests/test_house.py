"""The project's own order: lint, types, the lists of dependencies, what is in git."""

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import huggingface_hub
import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from animlab.datasets import REGISTRY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


CONSTRAINTS = pins("constraints.txt")
COLAB = pins("constraints-colab.txt")
# Imported only where it is there: what a hosted notebook brings, what one kind of file needs, what an old Python needs.
ABSENT = {"google", "h5py", "tomli"}
# Needed though no line imports it: torchvision has to fit torch wherever a reader's machine brings one of them.
UNSEEN = {"torchvision"}
CHECKER = ROOT.parent / "shared" / "tools" / "check_notebooks.py"


def run(*command):
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def tracked():
    return [ROOT / name for name in run("git", "ls-files", "-z").split("\0") if name]


@pytest.mark.parametrize("tool", [["ruff", "check"], ["mypy"]], ids=" ".join)
def test_lint_and_types(tool):
    run(sys.executable, "-m", *tool)


def test_environment_yml_leaves_the_packages_to_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = f"python{PROJECT['requires-python']}"
    assert environment["name"] == PROJECT["name"]
    assert environment["dependencies"] == [python, "pip", {"pip": ["-e .[dev]"]}]


def test_constraints_are_plain_versions():
    odd = [line for line in CONSTRAINTS + COLAB if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)]
    assert odd == []


def test_constraints_hold_a_version_in_range_of_every_dependency():
    pins = {canonicalize_name(pin.name): pin for pin in map(Requirement, CONSTRAINTS)}
    extras = PROJECT["optional-dependencies"].values()
    for wanted in map(Requirement, PROJECT["dependencies"] + [name for extra in extras for name in extra]):
        (pin,) = pins[canonicalize_name(wanted.name)].specifier
        assert wanted.specifier.contains(pin.version), f"{pin} is outside {wanted}"


def test_what_colab_ships_is_in_range():
    """What it does not ship is installed by the setup cell."""
    shipped = {canonicalize_name(pin.name): pin for pin in map(Requirement, COLAB)}
    for wanted in map(Requirement, PROJECT["dependencies"]):
        if pin := shipped.get(canonicalize_name(wanted.name)):
            assert wanted.specifier.contains(str(pin.specifier).removeprefix("==")), f"{pin} is outside {wanted}"
    absent = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]} - shipped.keys()
    assert absent == {"torch-fidelity"}


def imported(files):
    """The top-level modules that sources and notebooks import, at whatever depth."""
    sources = [path.read_text() for path in ROOT.glob(f"{files}.py")]
    for path in ROOT.glob(f"{files}.ipynb"):
        cells = nbformat.read(path, 4).cells
        sources += [
            re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.M) for cell in cells if cell.cell_type == "code"
        ]
    names = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"animlab"}


@pytest.mark.parametrize(
    ("files", "extras"),
    [
        ("animlab/**/*", ["sweep", "yardstick"]),
        ("notebooks/[0-9d]*", ["sweep"]),
        ("notebooks/solutions/*", ["sweep"]),
        ("notebooks/[a-z]*", ["dev", "site"]),
        ("notebooks/site/*", ["site"]),
        ("tests/**/*", ["dev"]),
        ("data/**/*", ["dev"]),
    ],
)
def test_what_is_imported_is_declared(files, extras):
    """A package that comes in only because another one needs it may be gone tomorrow."""
    declared = [Requirement(line) for line in PROJECT["dependencies"]]
    declared += [Requirement(line) for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    names = {canonicalize_name(requirement.name) for requirement in declared}
    packages = metadata.packages_distributions()
    mine = {path.stem for path in ROOT.rglob("tests/**/*.py")} | {path.stem for path in ROOT.rglob("data/**/*.py")}
    found = {name: packages.get(name, [name]) for name in imported(files) - mine - ABSENT}
    undeclared = {name for name, of in found.items() if not names & {canonicalize_name(each) for each in of}}
    assert undeclared == set()


def test_what_is_declared_is_imported():
    used = set().union(*map(imported, ("animlab/**/*", "notebooks/*")))
    packages = metadata.packages_distributions()
    of = {canonicalize_name(each) for name in used for each in packages.get(name, [])}
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert declared - of - UNSEEN == set()


def test_import_animlab_loads_little_but_torch():
    """Half of SciPy and the like would double the time that a lesson takes to begin."""
    late = ["accelerate", "matplotlib", "scipy", "skimage", "sklearn", "torch_fidelity"]
    told = run(sys.executable, "-c", f"import sys, animlab; print([name for name in {late} if name in sys.modules])")
    assert told.strip() == "[]"


def known_to(path):
    """What a module of animlab imports of animlab, at whatever depth: the rooms, and the modules on top."""
    package = ("animlab", *path.relative_to(ROOT / "animlab").parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            module = node.module.split(".") if node.module else ()
            names = [[*start, *module, alias.name] for alias in node.names]
        else:
            continue
        found |= {[*name, ""][1] for name in names if name[0] == "animlab"}
    return found


def test_the_rooms_keep_to_their_order():
    """Machinery knows no lesson's topic, numbers know no widget; inside a function no more than on top of a module."""
    allowed = {  # and `checks`, which knows nothing but numbers
        "backend": {"backend", "networks", "labels"},
        "networks": {"networks", "labels"},
        "datasets": {"datasets"},
        "metrics": {"metrics", "datasets", "labels", "model", "frames", "networks", "backend"},
        "widgets": {"widgets", "plots", "model", "labels", "animation", "frames", "timeline"},
        "web": {"web", "model", "labels", "networks", "datasets", "checkpoints", "animation"},
        "baselines": {"baselines", "metrics", "datasets", "labels", "losses", "presets", "step", "networks", "model"}
        | {"backend", "callbacks", "checkpoints", "trainer", "training"},  # which run them as they run ours
        "sweeps.py": set(),
    }
    excepted = {("player.py", "web")}  # its button writes the page
    odd = set()
    for room, known in allowed.items():
        place = ROOT / "animlab" / room
        for path in place.rglob("*.py") if place.is_dir() else [place]:
            odd |= {(path.name, name) for name in known_to(path) - known - {"checks"}}
    assert odd == excepted


def documented(docstring):
    """The parameters that a docstring lists under `Args:`, None where it has no list."""
    section = re.search(r"^Args:\n((?: {4}.*\n|\n)*)", docstring + "\n", re.M)
    return section and set(re.findall(r"^ {4}\*{0,2}(\w+): ", section[1], re.M))


def parameters(node):
    """The parameters of a function, of a class's constructor, or a dataclass's fields."""
    if isinstance(node, ast.ClassDef):
        constructor = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        if not constructor:
            return {part.target.id for part in node.body if isinstance(part, ast.AnnAssign)}
        (node,) = constructor
    parts = node.args
    named = [*parts.posonlyargs, *parts.args, *parts.kwonlyargs, parts.vararg, parts.kwarg]
    return {part.arg for part in named if part} - {"self", "cls"}


@pytest.mark.parametrize("path", sorted((ROOT / "animlab").rglob("*.py")), ids=lambda path: path.stem)
def test_a_docstring_lists_every_parameter_and_no_other(path):
    odd = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            listed = documented(ast.get_docstring(node) or "")
            if listed is not None and listed != parameters(node):
                odd.append((node.name, listed ^ parameters(node)))
    assert odd == []


def public_functions(node, overrides=False):
    """Each function and method in a module whose name has no underscore, and whether it may override another, whose
    docstring holds for both."""
    for part in getattr(node, "body", []):
        if getattr(part, "name", "_").startswith("_"):
            continue
        if isinstance(part, ast.ClassDef):
            yield from public_functions(part, overrides=bool(part.bases))
        elif isinstance(part, ast.FunctionDef):
            yield part, overrides


@pytest.mark.parametrize("path", sorted((ROOT / "animlab").rglob("*.py")), ids=lambda path: path.stem)
def test_every_public_function_lists_its_parameters(path):
    bare = []
    for function, overrides in public_functions(ast.parse(path.read_text())):
        text = ast.get_docstring(function)
        if not (text is None and overrides) and parameters(function) and documented(text or "") is None:
            bare.append(function.name)
    assert bare == []


def offered():
    """What animlab and its rooms export: each function and class, and the methods that a class adds, with its name."""
    rooms = ("networks", "datasets", "metrics", "baselines", "plots", "widgets", "web", "sweeps")
    found = {}
    for room in map(import_module, ("animlab", *(f"animlab.{name}" for name in rooms))):
        own = [name for name, each in vars(room).items() if getattr(each, "__module__", "") == room.__name__]
        for name in getattr(room, "__all__", own):
            each = getattr(room, name)
            if not name.startswith("_") and (inspect.isfunction(each) or inspect.isclass(each)):
                found.setdefault(each, f"{room.__name__}.{name}")
    for kind, name in [item for item in found.items() if inspect.isclass(item[0])]:
        inherited = {known for base in kind.__mro__[1:] for known in vars(base)}
        for method, each in vars(kind).items():
            each = getattr(each, "__func__", each)
            if inspect.isfunction(each) and not method.startswith("_") and method not in inherited:
                found[each] = f"{name}.{method}"
    return found


def test_what_is_exported_lists_its_parameters():
    """A dataclass that is handed back lists its attributes instead; an exception is not made by readers."""
    bare = []
    for each, name in offered().items():
        if inspect.isclass(each) and issubclass(each, BaseException):
            continue
        text = inspect.cleandoc(each.__doc__ or "")
        takes = set(inspect.signature(each).parameters) - {"self", "cls"}
        if takes and documented(text) is None and not (inspect.isclass(each) and "\nAttributes:\n" in text):
            bare.append(name)
    assert bare == []


def test_the_readme_lists_every_notebook_and_links_to_what_exists():
    readme = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", readme)
    assert [link for link in links if not (ROOT / link).exists()] == []
    listed = [Path(link).name for link in links if link.endswith(".ipynb")]
    assert listed == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_the_readme_example_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    script = example.replace("steps=2000", "steps=2")
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "wave.gif").exists()


@pytest.mark.parametrize("path", sorted(ROOT.glob("data/pretrained/*/README.md")), ids=lambda path: path.parent.name)
def test_a_model_card_has_a_head_that_the_hub_reads(path):
    head = huggingface_hub.ModelCard.load(path, ignore_metadata_errors=False).data
    assert head.library_name == "animlab" and head.license and head.pipeline_tag and head.tags
    assert set(head.datasets) <= set(REGISTRY) - {"folder"}
    assert (head.license_name is not None) if head.license == "other" else head.license == "mit"


def test_the_data_sets_have_a_card_that_names_them_all():
    path = ROOT / "data" / "README.md"
    card = huggingface_hub.DatasetCard.load(path, ignore_metadata_errors=False)
    assert set(card.data.config_names) == set(REGISTRY) - {"folder"}
    assert set(card.data.config_names) <= set(re.findall(r"^### ([a-z0-9-]+)$", card.text, re.M))
    assert set(card.data.license) == {"mit", "cc-by-sa-3.0", "other"}


def test_no_file_in_git_knows_this_machine():
    pattern = re.compile(rb"(?<![\w.~-])/(work|root|home|Users)/\w")
    assert [path.name for path in tracked() if path.is_file() and pattern.search(path.read_bytes())] == []


def test_the_shipped_weights_are_small_enough_to_clone():
    assert sum(path.stat().st_size for path in tracked() if path.suffix == ".safetensors") <= 40_000_000


@pytest.mark.skipif(not CHECKER.exists(), reason="no second notebook checker lies beside this checkout")
def test_the_notebook_checker_beside_the_project_agrees():
    run(sys.executable, CHECKER, "notebooks")
