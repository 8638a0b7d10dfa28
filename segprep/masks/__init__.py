"""Ground truth of one image, and statistics of many: instances, classes, statistics, splits."""
