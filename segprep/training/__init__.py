"""Training on stores, and what it led to: metrics of predictions.

`segprep.runs.evaluate` is the verb that uses the metrics, so this package lies below `segprep.runs`, not beside it.
"""
