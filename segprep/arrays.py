"""Names of the arrays that all modules speak of."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

LabelArray: TypeAlias = NDArray[np.int32]
"""(H, W) instance numbers, 0 is background; or (K, H, W), one such array per plane."""
BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float32]
CountArray: TypeAlias = NDArray[np.int64]
