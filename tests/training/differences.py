"""Largest differences of the losses from other computations: ``python -m tests.training.differences``.

PyTorch and JAX must be installed.
"""

import json
import sys
from pathlib import Path

import numpy as np

SEEDS = range(20)


def of_case(case, torch, jax):
    """Largest differences from the formula, of PyTorch's and JAX's values, and of their gradients."""
    formula, float32, from_numpy, gradient, from_torch = ([] for _ in range(5))
    compiled = jax.jit(jax.value_and_grad(case.loss))
    for seed in SEEDS:
        arrays = case.arrays(seed)
        formula.append(relative(case.loss(*arrays), case.expected(*arrays)))
        single = [
            None if array is None else array.astype(np.float32) if array.dtype.kind == "f" else array
            for array in arrays
        ]
        float32.append(relative(case.loss(*single), case.expected(*arrays)))
        single[1] = single[1].astype(np.int32) if single[1].dtype == np.int64 else single[1]
        _, exact = torch_gradient(torch, case, arrays)
        gradient.append(relative(exact, differences(case, arrays)))
        in_jax = compiled(*(None if array is None else jax.numpy.asarray(array) for array in single))
        in_torch = torch_gradient(torch, case, single)
        from_numpy.append(max(relative(value, case.loss(*single)) for value in (in_jax[0], in_torch[0])))
        from_torch.append(max(relative(value, exact) for value in (in_jax[1], in_torch[1])))
    return [max(column) for column in (formula, float32, from_numpy, gradient, from_torch)]


def torch_gradient(torch, case, arrays):
    """Loss and gradient by PyTorch."""
    prediction, *others = (None if array is None else torch.tensor(array) for array in arrays)
    loss = case.loss(prediction.requires_grad_(), *others)
    return loss.detach().numpy(), torch.autograd.grad(loss, prediction)[0].numpy()


def differences(case, arrays, step=1e-6):
    """Gradient by central differences, in NumPy."""
    prediction, *others = arrays
    gradient = np.empty_like(prediction)
    for place in np.ndindex(prediction.shape):
        below, above = prediction.copy(), prediction.copy()
        below[place], above[place] = prediction[place] - step, prediction[place] + step
        gradient[place] = (case.loss(above, *others) - case.loss(below, *others)) / (2 * step)
    return gradient


def relative(values, expected):
    """Largest difference, relative to the largest expected magnitude."""
    largest = np.abs(expected).max()
    difference = np.abs(np.asarray(values, float) - expected).max()
    return float(difference / largest) if largest else float(difference)


def references():
    """Largest difference from other libraries' values, by loss, with their names."""
    from helpers.losses import REFERENCES, referenced  # noqa: PLC0415

    stored = json.loads(REFERENCES.read_text(encoding="utf-8"))
    for name, value in referenced(stored["arrays"]).items():
        yield name, relative(value, stored["values"][name])
    yield ", ".join(f"{name} {version}" for name, version in stored["versions"].items()), None


def main():
    """Print both tables."""
    sys.path = [str(Path(__file__).parents[1]), *sys.path[1:], sys.path[0]]  # as pytest does
    import jax  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from helpers.losses import CASES  # noqa: PLC0415

    print("| loss | truth | formula, float64 | formula, float32 | PyTorch, JAX | gradient | gradient, float32 |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        row = (f"{value:.0e}" for value in of_case(case, torch, jax))
        print(f"| `{case.name}` | {case.truth} | {' | '.join(row)} |", flush=True)
    print("\n| reference | difference |\n|---|---|")
    *rows, (versions, _) = references()
    for name, difference in rows:
        print(f"| {name} | {difference:.0e} |")
    print(f"\n{versions}; torch {torch.__version__}, jax {jax.__version__}, {len(SEEDS)} random inputs each")


if __name__ == "__main__":
    main()
