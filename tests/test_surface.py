"""The check of TensorRT's names, on small sources and small surfaces; `make surface` has the real ones."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from surface import __main__ as check
from surface import dump
from surface.__main__ import SOURCE
from surface.bindings import Release, SurfaceError, read_surface
from surface.compare import missing, nowhere, table
from surface.uses import collect

BUILDER = {"create_network": "INetworkDefinition", "create_builder_config": "IBuilderConfig"}
NEW = {
    "module": {"Builder": "Builder", "Flag": "Flag", "IMonitor": "IMonitor", "New": "New"},
    "Builder": BUILDER,
    "INetworkDefinition": {"num_inputs": "int", "get_input": "ITensor"},
    "ITensor": {"name": "str", "dtype": "DataType"},
    "DataType": {"HALF": "DataType", "name": "str"},
    "IBuilderConfig": {"set_flag": "None", "fresh": "int", "set_fresh": "None"},
    "Flag": {"TF32": "Flag", "__members__": ""},
    "New": {"ONE": "New"},
    "IMonitor": {"step": "bool"},
}
# As it was before New and what goes with it.
OLD = {
    **{owner: members for owner, members in NEW.items() if owner != "New"},
    "module": {name: kind for name, kind in NEW["module"].items() if name != "New"},
    "IBuilderConfig": {"set_flag": "None"},
}
RELEASES = {"old": OLD, "new": NEW}


def findings(*sources):
    return collect({f"{i}.py": text for i, text in enumerate(sources)}, (OLD, NEW))


def lacking(*sources, release=OLD):
    found = findings(*sources)
    assert found.faults == ()
    return [str(name) for name in missing(found, release)]


def using(*lines, signature="module: Any, config: Any"):
    return f"def use({signature}):\n" + "\n".join(f"    {line}" for line in lines)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("config.fresh", "IBuilderConfig.fresh"),
        ("config.fresh = 1", "IBuilderConfig.fresh"),
        ("config.fresh += 1", "IBuilderConfig.fresh"),
        ("config.set_fresh(1)", "IBuilderConfig.set_fresh"),
        ("module.New", "module.New"),
        ("getattr(config, 'fresh')", "IBuilderConfig.fresh"),
        ("setattr(config, 'fresh', 1)", "IBuilderConfig.fresh"),
        ("made(lambda: config.fresh)", "IBuilderConfig.fresh"),
        ("f'{config.fresh}'", "IBuilderConfig.fresh"),
        ("made = module.Builder().create_builder_config().fresh", "IBuilderConfig.fresh"),
        ("for one in (module.Flag.BF8, 1): pass", "Flag.BF8"),
        ("with made(config.fresh) as one: pass", "IBuilderConfig.fresh"),
        ("try: pass\n    finally: config.fresh", "IBuilderConfig.fresh"),
        ("match config.fresh:\n        case 1: pass", "IBuilderConfig.fresh"),
        ("made(one=config.fresh)", "IBuilderConfig.fresh"),
        ("{}[config.fresh] = 1", "IBuilderConfig.fresh"),
        ("{}[config.fresh]", "IBuilderConfig.fresh"),
        ("one += config.fresh", "IBuilderConfig.fresh"),
        ("if config.fresh: pass", "IBuilderConfig.fresh"),
        ("1 if config.fresh else 2", "IBuilderConfig.fresh"),
        ("{config.fresh: 1 for _ in '1'}", "IBuilderConfig.fresh"),
        ("{1: config.fresh for _ in '1'}", "IBuilderConfig.fresh"),
        ("[1 for _ in '1' if config.fresh]", "IBuilderConfig.fresh"),
        ("getattr(1, 'one', config.fresh)", "IBuilderConfig.fresh"),
        ("def inner(one=config.fresh): pass", "IBuilderConfig.fresh"),
        ("try: pass\n    except OSError: config.fresh", "IBuilderConfig.fresh"),
        ("getattr(module, 'Builder', None)().fresh", "Builder.fresh"),
        ("import tensorrt as trt\n    trt.New", "module.New"),
    ],
)
def test_a_name_that_a_release_lacks_is_reported(line, name):
    assert lacking(using(line)) == [name]


@pytest.mark.parametrize(
    "lines",
    [
        ["one = config", "one.fresh"],
        ["if one := config:", "    one.fresh"],
        ["one, two = 1, config", "two.fresh"],
        ["one, *two = sorted([config])", "two.fresh"],
        ["for i, one in enumerate([1, config]):", "    one.fresh"],
        ["with config as one:", "    one.fresh"],
        ["match config:", "    case one: one.fresh"],
        ["[*[config]][0].fresh"],
        ["(config if 1 else 2).fresh"],
        ["(1 and config).fresh"],
        ["next(config for _ in '1').fresh"],
        ["{1: config for _ in '1'}[1].fresh"],
        ["[one.fresh for one in [config]]"],
    ],
)
def test_an_object_is_followed_to_where_it_is_used(lines):
    assert lacking(using(*lines)) == ["IBuilderConfig.fresh"]


def test_what_is_imported_by_name_is_the_bindings():
    source = "import importlib\nmodule = importlib.import_module('tensorrt')\nmodule.New"
    assert lacking(source) == ["module.New"]


def test_a_name_that_is_there_is_not_reported():
    assert lacking(using("config.set_flag(module.Flag.TF32)")) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["if hasattr(config, 'fresh'):", "    config.fresh = 1"],
        ["if not hasattr(config, 'fresh'):", "    return", "config.fresh = 1"],
        ["if 1 and hasattr(module, 'New'):", "    module.New.ONE"],
        ["1 if not hasattr(config, 'fresh') else config.fresh"],
        ["hasattr(config, 'fresh') and config.fresh"],
        ["not hasattr(config, 'fresh') or config.fresh"],
        ["known = hasattr(module, 'New')", "if known:", "    module.New"],
        ["getattr(config, 'fresh', None)"],
        ["[config.fresh for _ in '1' if hasattr(config, 'fresh')]"],
        ["if known := hasattr(config, 'fresh'):", "    config.fresh"],
        ["if hasattr(config, 'fresh'):", "    pass", "else:", "    return", "config.fresh"],
    ],
)
def test_a_guarded_name_may_be_absent(lines):
    assert lacking(using(*lines)) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["if hasattr(config, 'fresh'):", "    pass", "config.fresh"],
        ["if hasattr(config, 'fresh'):", "    pass", "else:", "    config.fresh"],
        ["if 1 or hasattr(config, 'fresh'):", "    config.fresh"],
        ["if hasattr(config, 'set_flag'):", "    config.fresh"],
        ["hasattr(config, 'fresh') and 1", "config.fresh"],
        ["1 if hasattr(config, 'fresh') else 2", "config.fresh"],
        ["[1 for _ in '1' if hasattr(config, 'fresh')]", "config.fresh"],
        ["known = hasattr(config, 'fresh')", "known = True", "if known:", "    config.fresh"],
    ],
)
def test_a_guard_that_does_not_hold_guards_nothing(lines):
    assert lacking(using(*lines)) == ["IBuilderConfig.fresh"]


@pytest.mark.parametrize(
    "lines",
    [
        ["if hasattr(module, 'New'):", "    module.New.TWO"],
        ["module.New.TWO if hasattr(module, 'New') else 1"],
        ["hasattr(module, 'New') and module.New.TWO"],
    ],
)
def test_behind_its_guard_a_name_is_required(lines):
    assert lacking(using(*lines), release=OLD) == []
    assert lacking(using(*lines), release=NEW) == ["New.TWO"]


PRIVATE = "def _fresh(config: Any):\n    config.fresh\n"


def test_a_private_function_stands_behind_the_guard_of_its_calls():
    guarded = using("if hasattr(config, 'fresh'):", "    _fresh(config)")
    assert lacking(PRIVATE + guarded) == []


def test_a_private_method_too():
    source = "class Job:\n    def _fresh(self, config: Any):\n        config.fresh\n"
    source += "    def run(self, config: Any):\n        if hasattr(config, 'fresh'):\n"
    assert lacking(source + "            self._fresh(config)") == []


def test_one_call_without_the_guard_is_enough():
    guarded = using("if hasattr(config, 'fresh'):", "    _fresh(config)")
    assert lacking(PRIVATE + guarded + "\n    _fresh(config)") == ["IBuilderConfig.fresh"]


def test_a_guard_is_known_by_the_field_that_holds_it():
    first = using("fresh = hasattr(config, 'fresh')", "return Facts(fresh)")
    second = using("if facts.fresh:", "    config.fresh", signature="facts: Facts, config: Any")
    assert lacking(second, first) == []
    assert lacking(second, first, "other = Facts(fresh=True)") == ["IBuilderConfig.fresh"]


def test_a_guard_is_known_by_the_function_that_answers_it():
    source = "def _has(config: Any) -> bool:\n    return hasattr(config, 'fresh')\n"
    assert lacking(source + using("if _has(config):", "    config.fresh")) == []


def test_the_bindings_tell_what_a_call_returns():
    loop = using("for i in range(network.num_inputs):", "    network.get_input(i).dtype.size")
    assert lacking(loop.replace("config", "network")) == ["DataType.size"]


def test_an_attribute_is_followed_from_another_file():
    fields = "class Job:\n    module: Any\n"
    assert lacking("def use(job: Job):\n    job.module.New", fields) == ["module.New"]


def test_what_a_subclass_overrides_has_to_be_there():
    source = using("class Mine(module.IMonitor):", "    def stepped(self): pass")
    assert lacking(source) == ["IMonitor.stepped"]


@pytest.mark.parametrize(
    "source",
    [
        "def use(thing: Any):\n    thing.work()",
        "class Job:\n    def run(self):\n        self._thing: Any = None\n        self._thing.work()",
        "def make() -> Any: ...\ndef use():\n    thing = make()\n    thing.work()",
        "def each() -> Iterator[Any]: ...\ndef use():\n    for thing in each():\n        thing.work()",
        "def give(work: Callable[[], T]) -> T: ...\nT = TypeVar('T')\nthing = give(f)\nthing.work()",
        "use(lambda thing: thing.work())",
        "def use(thing: Any):\n    hasattr(thing, 'work')",
    ],
)
def test_an_object_of_no_declared_class_is_flagged(source):
    (fault,) = findings(source).faults
    assert "add 'thing' to CLASSES in tests/surface/declared.py" in fault


def test_a_result_that_the_bindings_do_not_tell_is_flagged():
    (fault,) = findings(using("config.unheard_of().more")).faults
    assert "config.unheard_of() in .more" in fault
    assert "give it a variable" in fault


def test_a_name_made_at_run_time_is_flagged():
    (fault,) = findings(using("getattr(module.Flag, config.set_flag)")).faults
    assert "write it out" in fault


@pytest.mark.parametrize(
    "source",
    [
        "def use(tensor: torch.Tensor, path: Path):\n    tensor.cpu(path.name)",
        "def use(path: Path):\n    hasattr(path, 'name')",
        "def use(config: Any):\n    try: pass\n    except OSError as config:\n        config.errno",
        "def other(config: Any): ...\ndef use():\n    config.fresh",
        "class Job:\n    def run(self):\n        self.work()",
        "def outer(config: Any):\n    def use(**config: Any):\n        config.items()",
        "import other\ndef load() -> Any: ...\nthing = other.part.load()\nthing.work()",
    ],
)
def test_what_is_not_tensorrts_is_left_alone(source):
    found = findings(source)
    assert (found.uses, found.optional, found.faults) == (frozenset(), frozenset(), ())


def test_a_guard_for_what_no_release_has_is_reported():
    found = findings(using("hasattr(config, 'frehs')", "hasattr(config, 'fresh')"))
    assert list(map(str, nowhere(found, RELEASES))) == ["IBuilderConfig.frehs"]


def test_text_that_spells_a_member_is_looked_up():
    found = findings("_DTYPES = {'HALF': 'float16', 'HELF': 'float16'}")
    assert list(map(str, nowhere(found, RELEASES))) == ["DataType.HELF"]


def test_the_table_names_release_name_and_place():
    source = using("config.fresh", "getattr(config, 'set_fresh', None)")
    assert table(findings(source), RELEASES).splitlines() == [
        "old  missing: IBuilderConfig.fresh (0.py:2)",
        "new  missing: none",
        "",
        "Where the names are that are asked for first, or stand behind such a question:",
        "  IBuilderConfig.set_fresh: new",
    ]


def test_the_table_groups_releases():
    every = dict.fromkeys(("a 1", "a 2"), OLD) | {"b 1": OLD, "b 2": NEW, "c 1": NEW}
    found = findings(using("getattr(config, 'fresh', None)"))
    assert table(found, every).splitlines()[-1] == "  IBuilderConfig.fresh: b 2, c"


RELEASE = Release("tensorrt_rtx", "9.9")
BINDINGS = """
class Builder:
    def create_network(self):
        "create_network(self: x.tensorrt_rtx.Builder) -> x.tensorrt_rtx.INetworkDefinition"
    def _get(self):
        "(arg0: x.tensorrt_rtx.Builder) -> int"
    limit = property(_get)
    class Kind(enum.Enum):
        ONE = 1
"""


def fake(cache, text):
    """Bindings in Python, as if they had been downloaded."""
    folder = cache / f"{RELEASE.wheel}-{sys.implementation.cache_tag}" / "tensorrt_rtx_bindings"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f"import enum\n{text}")


def test_a_surface_has_members_and_what_they_return(tmp_path):
    fake(tmp_path, BINDINGS)
    surface = read_surface(RELEASE, tmp_path)
    assert surface["module"]["Builder"] == "Builder"
    assert surface["Builder"]["create_network"] == "INetworkDefinition"
    assert surface["Builder"]["limit"] == "int"
    assert surface["Builder"]["Kind"] == surface["Builder.Kind"]["ONE"] == "Builder.Kind"


def test_bindings_that_cannot_be_imported_are_an_error(tmp_path):
    fake(tmp_path, "raise ImportError('undefined symbol: getVersion')")
    with pytest.raises(SurfaceError, match="undefined symbol: getVersion"):
        read_surface(RELEASE, tmp_path)


@pytest.mark.skipif(not SOURCE.exists(), reason="needs the source tree; the wheel is being tested")
@pytest.mark.parametrize("text", ["raise ImportError('no')", BINDINGS])
def test_the_check_fails_where_a_release_cannot_be_read_or_lacks_names(text, tmp_path, monkeypatch):
    fake(tmp_path, text)
    monkeypatch.setattr(check, "RELEASES", (RELEASE,))
    assert check.main(tmp_path) == 1


def test_the_source_agrees_with_the_tensorrt_rtx_installed_here():
    found = importlib.util.find_spec("tensorrt_rtx_bindings")
    if found is None or not SOURCE.exists():
        pytest.skip("needs tensorrt_rtx and the source tree")
    site = Path(found.origin).parents[1]
    command = [sys.executable, "-I", "-S", dump.__file__, str(site), "tensorrt_rtx_bindings"]
    surface = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    used = collect({path.name: path.read_text() for path in SOURCE.glob("*.py")}, (surface,))
    assert used.faults == ()
    assert len(used.uses) > 50
    assert missing(used, surface) == {}
