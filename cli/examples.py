"""Examples at the end of each help. They run one after the other in an empty folder."""

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "demo": (
        ("Label images of 24 drawn images of cells", "segprep demo cells"),
        ("Foreground masks of 8 images", "segprep demo masks --as masks --images 8"),
        ("COCO with mistakes, for segprep check", "segprep demo coco --as coco --with-problems"),
    ),
    "weights": (
        ("Weights that separate touching cells, and distances", "segprep weights cells cells.zarr --preset crowded"),
        (
            "Other targets, and splits at random",
            "segprep weights cells other.zarr --targets border,boundaries --split 0.8,0.1,0.1",
        ),
        (
            "Foreground masks, whose instances are found first",
            "segprep weights masks masks.zarr --instances-from watershed -j 2",
        ),
        ("Bytes, memory and time of a run, without writing", "segprep weights cells new.zarr --dry-run"),
    ),
    "check": (
        ("Problems of a data set", "segprep check coco"),
        ("Problems as JSON, with two processes", "segprep check cells --json -j 2"),
    ),
    "preview": (
        ("Page of a store", "segprep preview cells.zarr -o cells.html"),
        ("One mask of a data set, before any store exists", "segprep preview cells -o mask.png --count 1"),
    ),
    "info": (
        ("Contents of a store", "segprep info cells.zarr"),
        ("Command that makes the same store again", "segprep info cells.zarr --command"),
        ("Its settings, as a file for --config", "segprep info cells.zarr --config > segprep.toml"),
    ),
    "verify": (
        ("Read every shard", "segprep verify cells.zarr --deep"),
        ("Compute 4 masks again and compare", "segprep verify cells.zarr --against cells --sample 4"),
    ),
    "classes": (
        ("Weights for a loss", "segprep classes cells.zarr --formula median-frequency"),
        ("The same as JSON, at most 10", "segprep classes cells.zarr --clip-class-weights 0,10 --json"),
    ),
    "split": (
        ("Other shares, at random", "segprep split other.zarr --split 0.7,0.2,0.1 --seed 1"),
        ("Five folds for cross-validation", "segprep split other.zarr --folds 5"),
    ),
    "evaluate": (
        ("Scores of predicted label images", "segprep evaluate cells cells.zarr"),
        (
            "Scores of each class, and of each image in a file",
            "segprep evaluate cells cells.zarr --per-class --per-image scores.csv",
        ),
    ),
    "completion": (("Script for bash", "segprep completion bash > segprep.bash"),),
    "formats": (("All formats", "segprep formats"),),
    "schema": (("Schema of a result", "segprep schema weights > weights.schema.json"),),
    "doctor": (("Text for a report of a problem", "segprep doctor"),),
}
"""Words and command line of each example, by command."""
