"""Options follow from the targets: a new one needs no other change."""

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal, get_type_hints

import numpy as np
import pytest
from click.testing import CliRunner

import segprep
from segprep import targets
from segprep.cli.commands import COMMANDS, main
from segprep.cli.fields import METAVARS, help_text
from segprep.cli.fields import settings as settings_options
from segprep.runs import settings
from segprep.runs.settings import RULES, Settings, settings_of, target_kinds
from segprep.targets.class_weights import Shaping

ROOT = Path(__file__).parents[2]
FORMULAS_PAGE = (ROOT / "docs" / "formulas.md").read_text(encoding="utf-8")
PAGES = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@dataclass(frozen=True)
class Toy:
    """Toy target.

    Attributes
    ----------
    toy_size : int
        Size of the toy in pixels.
    toy_colour : str
        Colour of the ``toy``.

        Not in the help.
    """

    toy_size: int = 3
    toy_colour: Literal["red", "blue"] = "red"

    name: ClassVar[str] = "toy"
    dtype: ClassVar[str] = "uint8"
    version: ClassVar[int] = 1
    channels: ClassVar[int] = 0
    fill: ClassVar[float] = 255
    pad: ClassVar[float] = 0

    def fit(self, train, everything):  # noqa: ARG002
        return self

    def compute(self, mask):
        return np.full(mask.shape, self.toy_size, np.uint8)


@pytest.fixture
def registered(monkeypatch):
    """`Toy` among the targets, in every module that uses them."""
    both = (*targets.TARGETS, Toy)
    for module in (targets, settings):
        monkeypatch.setattr(module, "TARGETS", both)


@pytest.fixture
def toy_options():
    """Options that are made for `Toy`, by name."""
    command = settings_options("Targets", Toy)(lambda: None)
    return {option.name: option for option in reversed(command.__click_params__)}


def test_a_new_target_has_its_options_without_another_change(toy_options):
    assert list(toy_options) == ["toy_size", "toy_colour"]
    size, colour = toy_options.values()
    assert (size.opts, size.default, size.type.name, size.help) == (
        ["--toy-size"],
        3,
        "integer",
        "Size of the toy in pixels.",
    )
    assert (colour.opts, colour.default, tuple(colour.type.choices)) == (["--toy-colour"], "red", ("red", "blue"))
    assert colour.help == "Colour of the toy."


@pytest.mark.usefixtures("registered")
def test_a_new_target_is_one_to_name_and_has_its_settings():
    assert "toy" in target_kinds()
    (toy,), _ = settings.run_rules({"toy_size": "5", "toy_colour": "blue"}, "toy", None)
    assert toy == Toy(5, "blue")
    with pytest.raises(segprep.OptionError, match="toy_size=5: belongs to the target toy; use targets='weights,toy'"):
        settings.run_rules({"toy_size": 5}, "weights", None)


def all_settings():
    """Field, annotation and class of every setting."""
    for kind in (*targets.TARGETS, *RULES, Shaping):
        for field in settings_of(kind):
            yield field, get_type_hints(kind)[field.name], kind


@pytest.mark.parametrize("name", sorted({field.name for field, _, _ in all_settings()}))
def test_settings_of_one_name_are_one_option(name):
    same = [(field.default, str(annotation)) for field, annotation, _ in all_settings() if field.name == name]
    kinds = ", ".join(kind.__name__ for field, _, kind in all_settings() if field.name == name)
    assert len(set(same)) == 1, (
        f"{kinds} have a field {name!r} with different defaults or types, but all of them are set by the one option "
        f"--{name.replace('_', '-')}: give them the same default and type, or rename one, such as KIND_{name}"
    )


@pytest.mark.parametrize("name", sorted({field.name for field, _, _ in all_settings()}))
def test_every_setting_has_a_help_text(name):
    kinds = [kind for field, _, kind in all_settings() if field.name == name]
    assert help_text(name, kinds), (
        f"no help for --{name.replace('_', '-')}: write an entry '{name} : type' with a paragraph under Attributes in the "
        f"docstring of {kinds[0].__name__}"
    )


def test_every_setting_has_a_default():
    for field, _, kind in all_settings():
        assert field.default is not MISSING, f"{kind.__name__}.{field.name} needs a default: its option may be left out"


def test_settings_for_type_checkers_are_those_of_the_targets_and_rules():
    names = {field.name for field, _, kind in all_settings() if kind is not Shaping}
    assert set(Settings.__annotations__) == names | {"preset"}, (
        "a setting is missing in, or left over in, the typed dictionaries of segprep/runs/settings.py: add or remove its line"
    )


@pytest.mark.parametrize("kind", targets.TARGETS, ids=lambda kind: kind.name)
def test_every_target_is_explained(kind):
    assert f"`{kind.name}`" in FORMULAS_PAGE, (
        f"the target {kind.name} is not explained: write a section about `{kind.name}` in docs/formulas.md, and add it to the "
        "table of targets"
    )


@pytest.mark.parametrize("name", sorted({field.name for field, _, _ in all_settings()}))
def test_every_setting_is_explained(name):
    spelled = f"--{name.replace('_', '-')}"
    assert spelled in PAGES, (
        f"the option {spelled} is not explained: mention `{spelled}` in docs/formulas.md or README.md"
    )


def test_metavars_belong_to_settings():
    assert set(METAVARS) <= {field.name for field, _, _ in all_settings()}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_groups_its_options(name):
    result = CliRunner().invoke(main, [name, "--help"])
    headings = [line for line in result.output.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert result.exit_code == 0
    assert len(headings) == len(set(headings))
    assert ("Targets:" in headings) == (name in ("weights", "preview"))


def test_fields_of_targets_are_settings_or_bound():
    for kind in targets.TARGETS:
        bound = {field.name for field in fields(kind)} - {field.name for field in settings_of(kind)}
        assert bound == {
            "labels": {"dtype"},
            "classes": {"dtype"},
            "weights": {"vector"},
            "distance": {"channels"},
        }.get(kind.name, set())
