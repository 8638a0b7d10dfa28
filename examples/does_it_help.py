"""Train the same U-Net with different targets and losses, and compare the scores; needs PyTorch.

It trains each setting with one seed after the other until the budget of time is spent, and adds each result to a JSON file, so
that the next start continues. All settings of one seed have the same initial weights and the same order of images. Predictions
are made at a probability of 0.5; no threshold is tuned.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from train_unet import predict, trained

import segprep
from segprep.training import losses


def plain(logits, batch):
    """Cross-entropy without weights."""
    return losses.binary_cross_entropy(logits[:, 0], batch["classes"])


def weighted(logits, batch):
    """Cross-entropy with the weights of the store."""
    return losses.binary_cross_entropy(logits[:, 0], batch["classes"], batch["weights"])


def dice(logits, batch):
    """Dice loss, plus cross-entropy with the weights of the store."""
    return losses.dice_cross_entropy(logits[:, 0], batch["classes"], batch["weights"])


def boundary(logits, batch):
    """Cross-entropy plus a small share of the boundary loss."""
    known = batch["classes"] >= 0
    return plain(logits, batch) + 0.01 * losses.boundary_loss(losses.sigmoid(logits[:, 0]), batch["distance"], known)


def focal(logits, batch):
    """Focal loss."""
    return losses.binary_focal_loss(logits[:, 0], batch["classes"])


class Setting(NamedTuple):
    """Settings of segprep, loss, and the gap between instances that is filled in the predictions."""

    title: str
    settings: dict[str, Any]
    loss: Callable[..., Any]
    gap: int = 1


SETTINGS = {
    "plain": Setting("plain cross-entropy", {}, plain, gap=0),
    "separate": Setting("plain cross-entropy, separate 1", {"separate": 1}, plain),
    "crowded": Setting("preset crowded: border, sigma 2.5, separate 1", {"preset": "crowded"}, weighted),
    "dice": Setting("Dice + cross-entropy with preset crowded", {"preset": "crowded"}, dice),
    "border": Setting("border, sigma 5, separate 1", {"separate": 1}, weighted),
    "w0 3": Setting("border, w0 3, sigma 5, separate 1", {"separate": 1, "w0": 3}, weighted),
    "former": Setting("border, class weights inverse", {"class_weights": "inverse"}, weighted, gap=0),
    "inverse": Setting("the same, separate 1", {"class_weights": "inverse", "separate": 1}, weighted),
    "falk2019": Setting("preset falk2019", {"preset": "falk2019"}, weighted),
    "boundary": Setting("cross-entropy + boundary loss, separate 1", {"separate": 1}, boundary),
    "focal": Setting("focal loss, separate 1", {"separate": 1}, focal),
}


def result(name, options, seed):
    """Scores of one training, and the seconds that it took."""
    start, setting = time.monotonic(), SETTINGS[name]
    masks = options.work / f"{'_'.join(f'{key}-{value}' for key, value in setting.settings.items()) or 'default'}.zarr"
    segprep.preprocess(options.data, masks, split=(0.6, 0.0, 0.4), **setting.settings)
    train, test = (segprep.open(masks, split=split, images=options.data) for split in ("train", "test"))
    targets = ("classes", "weights", "distance")
    network = trained(train, setting.loss, steps=options.steps, seed=seed, targets=targets)
    folder = options.work / f"{name}_{seed}"
    predict(network, test, folder, setting.gap)
    found = segprep.evaluate(folder, masks, split="test")
    return {
        "setting": name,
        "seed": seed,
        "mean AP": round(found.mean_ap, 4),
        "AP 0.5": round(found.at_threshold.ap, 4),
        "separated": round(found.separated_pairs / max(1, found.touching_pairs), 4),
        "seconds": round(time.monotonic() - start, 1),
    }


def table(results):
    """Mean and standard deviation over the seeds of each setting, in Markdown."""
    lines = ["| setting | seeds | mean AP 0.5:0.95 | AP 0.5 | touching pairs separated |", "|---|---|---|---|---|"]
    for name, setting in SETTINGS.items():
        if own := [each for each in results if each["setting"] == name]:
            columns = ([each[column] for each in own] for column in ("mean AP", "AP 0.5", "separated"))
            cells = [f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(own) > 1 else "") for values in columns]
            lines.append(f"| {setting.title} | {len(own)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    """Train until the budget is spent, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="masks with their images, such as those of DSB 2018")
    parser.add_argument(
        "--work", type=Path, default=Path("does_it_help"), help="folder of stores, predictions and results"
    )
    parser.add_argument("--budget", type=float, default=3600, metavar="SECONDS", help="no training starts after it")
    parser.add_argument("--steps", type=int, default=400, help="batches of eight crops; 2500 on a GPU")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each setting")
    parser.add_argument("--settings", nargs="*", choices=SETTINGS, default=list(SETTINGS), help="default: all")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    file, start = options.work / f"runs_{options.steps}.json", time.monotonic()
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    done = {(each["setting"], each["seed"]) for each in results}
    for seed, name in ((seed, name) for seed in range(options.seeds) for name in options.settings):
        if (name, seed) not in done and time.monotonic() - start < options.budget:
            results.append(result(name, options, seed))
            file.write_text(json.dumps(results, indent=1), encoding="utf-8")
            print(results[-1], flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
