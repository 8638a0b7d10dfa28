"""Options from variables and files: command line, then variables, then the file, then defaults."""

import shutil
from pathlib import Path

import pytest

from segprep.store.metadata import read_info

COINS = Path(__file__).parents[2] / "examples" / "coins"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Working folder with the data of an example."""
    shutil.copytree(COINS, tmp_path / "coins")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def weights_here(folder, segprep_here):
    """Callable: `segprep weights` of the example with further arguments, and the parameters of the weights in the store."""

    def weights_here(*arguments, config=None):
        if config is not None:
            (folder / "settings.toml").write_text(config)
            arguments = ("--config", "settings.toml", *arguments)
        ended = segprep_here("weights", "coins", "out.zarr", "-j", "1", "-w", *arguments)
        assert ended.returncode == 0, ended.stderr
        return next(each.parameters for each in read_info(folder / "out.zarr").targets if each.name == "weights")

    return weights_here


def refused(segprep_here, *arguments):
    """Line of a usage error, after which there is no store."""
    ended = segprep_here("weights", "coins", "out.zarr", *arguments)
    assert (ended.returncode, ended.stdout, Path("out.zarr").exists()) == (2, "", False)
    (line,) = [line for line in ended.stderr.splitlines() if "masks" not in line]
    return line


def test_the_command_line_goes_before_variables_these_before_the_file_and_this_before_defaults(
    weights_here, monkeypatch
):
    config = "[weights]\nsigma = 2\nw0 = 2\nbeta = 0.9999\nmantissa-bits = 8\n"
    monkeypatch.setenv("SEGPREP_WEIGHTS_SIGMA", "3")
    monkeypatch.setenv("SEGPREP_WEIGHTS_W0", "3")
    found = weights_here("--sigma", "4", config=config)
    assert (found["sigma"], found["w0"], found["mantissa_bits"], found["border_on"]) == (4, 3, 8, "background")


def test_a_file_that_is_not_named_is_not_read(weights_here, folder):
    (folder / "segprep.toml").write_text("[weights]\nsigma = 2\n")
    assert weights_here()["sigma"] == 5


@pytest.mark.parametrize(("value", "is_on"), [("1", True), ("true", True), ("0", False), ("no", False), ("", False)])
def test_a_variable_turns_a_flag_on_or_off(value, is_on, weights_here, monkeypatch):
    monkeypatch.setenv("SEGPREP_WEIGHTS_NORMALISE", value)
    assert weights_here()["normalise"] is is_on


def test_a_flag_of_a_file_can_be_turned_off(weights_here):
    config = "[weights]\nnormalise = true\n"
    assert weights_here(config=config)["normalise"] is True
    assert weights_here("--no-normalise", config=config)["normalise"] is False


def test_a_file_may_write_names_with_underscores_and_lists(weights_here):
    config = """
        [weights]
        border_on = "all"
        targets = ["weights"]
        clip_class_weights = [0.5, 2]
        split = [1, 0, 0]
        canvas = [320, 400]
        separate = 1
        class-weights = {background = 0.75, instance = 1.5}

        [check]
        workers = 1
        """
    found = weights_here(config=config)
    assert (found["border_on"], found["vector"], found["clip_class_weights"]) == ("all", [0.75, 1.5], [0.5, 2])
    assert [bucket.name for bucket in read_info(Path("out.zarr")).buckets] == ["320x400"]


@pytest.mark.usefixtures("folder")
def test_options_of_a_run_have_a_variable_for_all_commands(segprep_here, monkeypatch):
    monkeypatch.setenv("SEGPREP_WORKERS", "0")
    line = segprep_here("check", "coins").stderr.splitlines()[-1]
    assert line == "segprep: --workers 0: must be at least 1 (--workers is set by SEGPREP_WORKERS)"
    monkeypatch.setenv("SEGPREP_CHECK_WORKERS", "1")
    assert segprep_here("check", "coins").returncode == 0


@pytest.mark.usefixtures("folder")
def test_a_variable_with_the_path_of_a_file_is_read(segprep_here, monkeypatch):
    Path("bad.toml").write_text("[weights]\nsigma = -1\n")
    monkeypatch.setenv("SEGPREP_CONFIG", "bad.toml")
    assert "(--sigma is set by sigma in [weights] of bad.toml)" in refused(segprep_here)


@pytest.mark.usefixtures("folder")
def test_tracebacks_can_be_asked_for_by_a_variable(segprep_here, monkeypatch):
    monkeypatch.setenv("SEGPREP_DEBUG", "yes")
    assert "Traceback" in segprep_here("info", "nowhere").stderr
    monkeypatch.setenv("SEGPREP_DEBUG", "no")
    assert "Traceback" not in segprep_here("info", "nowhere").stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("SIGMA", "wide", "Invalid value for SEGPREP_WEIGHTS_SIGMA: 'wide' is not a valid float"),
        ("SIGMA", "-1", "--sigma -1: must be from 0.001 to 1000 pixels (--sigma is set by SEGPREP_WEIGHTS_SIGMA)"),
        ("DTYPE", "float1", "SEGPREP_WEIGHTS_DTYPE: 'float1': choose one of float16, float32; did you mean 'float16'?"),
        ("OVERWRITE", "perhaps", "Invalid value for SEGPREP_WEIGHTS_OVERWRITE: 'perhaps' is not a valid boolean"),
        ("SPLIT", "0.5", "--split 0.5: give the shares"),
    ],
)
def test_an_invalid_value_names_its_variable(name, value, named, segprep_here, monkeypatch):
    monkeypatch.setenv(f"SEGPREP_WEIGHTS_{name}", value)
    line = refused(segprep_here)
    assert named in line
    assert f"SEGPREP_WEIGHTS_{name}" in line


@pytest.mark.usefixtures("folder")
def test_a_variable_of_a_misspelled_option_is_a_warning(segprep_here, monkeypatch):
    monkeypatch.setenv("SEGPREP_CHECK_FORMATT", "coco")
    ended = segprep_here("check", "coins", "-j", "1")
    assert (
        "SEGPREP_CHECK_FORMATT: not a variable of segprep check; did you mean 'SEGPREP_CHECK_FORMAT'?" in ended.stderr
    )
    assert ended.returncode == 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sigma = 3", "sigma: must stand in the table of a command, such as [weights]"),
        ("[wieghts]", "[wieghts]: no such command; did you mean 'weights'?"),
        ("[weights]\nsigmma = 3", "[weights] sigmma: no such option; did you mean 'sigma'?"),
        ("[weights]\nconfig = 'a.toml'", "[weights] config: no such option"),
        ("[weights]\nhelp = true", "[weights] help: no such option"),
        ("[weights]\nborder-on = 'all'\nborder_on = 'all'", "[weights] border_on: is given twice"),
        ("[weights]\nsigma = 'wide'", "[weights] sigma = 'wide': must be a number"),
        ("[weights]\nsigma = true", "[weights] sigma = True: must be a number"),
        ("[weights]\nworkers = 1.5", "[weights] workers = 1.5: must be an integer"),
        ("[weights]\noverwrite = 1", "[weights] overwrite = 1: must be true or false"),
        ("[weights]\ngroup = ['a']", "[weights] group = ['a']: must be text"),
        (
            "[weights]\nsplit = {train = 1}",
            "[weights] split = {'train': 1}: must be text or a list, as TRAIN,VAL,TEST|FILE",
        ),
        ("[weights]\ndtype = 'float64'", "dtype in [weights] of bad.toml: 'float64': choose one of float16, float32"),
        ("[weights]\nclass-weights = {background = 'x'}", "--class-weights"),
        ("[weights]\nsigma = -1", "(--sigma is set by sigma in [weights] of bad.toml)"),
        ("[weights\n", "bad.toml: not valid TOML: "),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_names_the_file_and_the_key(text, named, segprep_here):
    Path("bad.toml").write_text(text)
    line = refused(segprep_here, "--config", "bad.toml")
    assert named in line
    assert "bad.toml" in line


@pytest.mark.usefixtures("folder")
def test_a_file_that_cannot_be_read_is_named(segprep_here):
    assert "nowhere.toml: cannot be read: No such file or directory" in refused(
        segprep_here, "--config", "nowhere.toml"
    )
    Path("image.toml").write_bytes(b"\xff\xfe")
    assert "image.toml: not valid TOML" in refused(segprep_here, "--config", "image.toml")
