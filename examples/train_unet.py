"""Train a U-Net on targets of segprep, predict the test images, and score the predictions; needs PyTorch."""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

import segprep
from segprep.training.geometry import symmetry
from segprep.training.losses import dice_cross_entropy
from segprep.training.torch import TorchDataset

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def block(inputs, outputs):
    """Two convolutions of 3 x 3 with batch normalisation."""
    first, second = (nn.Conv2d(size, outputs, 3, padding=1, bias=False) for size in (inputs, outputs))
    return nn.Sequential(first, nn.BatchNorm2d(outputs), nn.ReLU(), second, nn.BatchNorm2d(outputs), nn.ReLU())


class UNet(nn.Module):
    """U-Net of four levels, from (B, 1, H, W) to (B, outputs, H, W); H and W must be multiples of 8."""

    def __init__(self, outputs=1, width=16):
        super().__init__()
        widths = [width * 2**level for level in range(4)]
        self.down = nn.ModuleList(block(*pair) for pair in zip([1, *widths[:3]], widths, strict=True))
        self.up = nn.ModuleList(block(3 * size, size) for size in widths[2::-1])
        self.last = nn.Conv2d(width, outputs, 1)

    @torch.autocast(DEVICE, torch.bfloat16)  # several times faster where the processor knows this type
    def forward(self, images):
        """Logits of a batch."""
        levels = [self.down[0](images)]
        for down in self.down[1:]:
            levels.append(down(nn.functional.max_pool2d(levels[-1], 2)))
        maps = levels.pop()
        for up in self.up:
            maps = up(torch.cat([nn.functional.interpolate(maps, scale_factor=2), levels.pop()], dim=1))
        return self.last(maps)


def augmented(sample):
    """One of the eight flips and turns, and another brightness and contrast."""
    sample, contrast, brightness = symmetry(sample, int(torch.randint(8, ()))), *torch.rand(2)
    return sample | {"image": (0.7 + 0.6 * contrast) * sample["image"] + 0.1 * brightness - 0.05}


def trained(masks, loss, *, steps, seed, targets=("classes", "weights"), outputs=1):
    """Network that is trained on masks of a store; `loss` takes the logits and a batch."""
    torch.manual_seed(seed)
    network = UNet(outputs).to(DEVICE)
    data = TorchDataset(masks, targets, crop=128, image="grey", transform=augmented, seed=seed)
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    for batch in DataLoader(data, batch_size=8, sampler=RandomSampler(data, replacement=True, num_samples=8 * steps)):
        on_device = {name: value.to(DEVICE) for name, value in batch.items() if name != "key"}
        loss(network(on_device["image"]), on_device).backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
    return network.eval()


def instances(foreground, gap, smallest=12):
    """Connected components of a foreground; gaps of `gap` pixels between neighbours are closed."""
    labels, _ = ndimage.label(foreground)
    nearby = ndimage.minimum_filter(np.where(labels, labels, labels.max() + 1), 4 * gap + 1)
    between = (labels == 0) & (ndimage.maximum_filter(labels, 4 * gap + 1) > nearby)
    for _ in range(gap):
        labels = np.where(between & (labels == 0), ndimage.maximum_filter(labels, 3), labels)
    areas = np.bincount(labels.ravel())
    return np.where(areas >= smallest, np.arange(len(areas)), 0)[labels]


def predict(network, masks, folder, gap):
    """Write the predicted instances of each image of a store to a folder, as label images."""
    for sample in TorchDataset(masks, [], crop=None, image="grey"):
        height, width = sample["image"].shape[1:]
        padded = nn.functional.pad(sample["image"], (0, -width % 8, 0, -height % 8), mode="reflect")
        with torch.inference_mode():
            logits = network(padded[None].to(DEVICE))[0, 0, :height, :width]
        (folder / sample["key"]).parent.mkdir(parents=True, exist_ok=True)
        labels = instances((logits > 0).cpu().numpy(), gap)
        Image.fromarray(labels.astype(np.uint16)).save(folder / f"{sample['key']}.png")


def main():
    """Train with each seed, and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="masks with their images, such as those of DSB 2018")
    parser.add_argument("--preset", choices=["crowded", "plain"], default="crowded")
    parser.add_argument("--work", type=Path, default=Path("train_unet"), help="folder of stores and predictions")
    parser.add_argument("--steps", type=int, default=400, help="batches of eight crops")
    parser.add_argument("--seeds", type=int, default=1, help="number of trainings")
    options = parser.parse_args()
    is_plain, store = options.preset == "plain", options.work / f"{options.preset}.zarr"
    settings = {} if is_plain else {"preset": options.preset}
    segprep.preprocess(options.data, store, targets="weights", split=(0.6, 0.0, 0.4), **settings)
    train, test = (segprep.open(store, split=split, images=options.data) for split in ("train", "test"))

    def loss(logits, batch):
        return dice_cross_entropy(logits[:, 0], batch["classes"], None if is_plain else batch["weights"])

    for seed in range(options.seeds):
        folder = options.work / f"{options.preset}{seed}"
        predict(trained(train, loss, steps=options.steps, seed=seed), test, folder, gap=0 if is_plain else 1)
        found = segprep.evaluate(folder, store, split="test")
        pairs = f"{found.separated_pairs} of {found.touching_pairs} touching pairs separated"
        print(f"{options.preset} {seed}: mean AP {found.mean_ap:.3f}, {pairs}", flush=True)


if __name__ == "__main__":
    main()
