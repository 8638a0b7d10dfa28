"""Use of a store in training: data sets, losses, and metrics of predictions.

No module here is imported, nor PyTorch, JAX or Keras, before it is asked for. The verb `segprep.runs.evaluate` uses the
metrics, so this package lies below `segprep.runs`, not beside it.
"""
