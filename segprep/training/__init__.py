"""What a training loop needs besides the targets of a store: losses, and metrics of predictions.

`segprep.runs.evaluate` is the verb that uses the metrics, so this package lies below `segprep.runs`, not beside it.
"""
