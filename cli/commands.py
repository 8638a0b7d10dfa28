"""The group of all commands."""

import click

from . import check, classes, info, split, verify, weights


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="segprep", prog_name="segprep")
def main() -> None:
    """Precompute ground truth for segmentation networks.

    \b
    segprep weights DATA STORE    U-Net weights, labels and classes of all masks in DATA
    segprep check DATA            all that is wrong with DATA, in one pass
    segprep info STORE            what is in it
    segprep verify STORE          whether it is whole; repairs it
    segprep classes STORE         class weights for a loss
    segprep split STORE           other train, val and test splits
    """  # noqa: D301 - click takes a real backspace for "keep these lines"


main.add_command(weights.weights)
main.add_command(check.check)
main.add_command(info.info)
main.add_command(verify.verify)
main.add_command(classes.classes)
main.add_command(split.split)
