"""Training on stores, and what it led to: metrics of predictions."""
