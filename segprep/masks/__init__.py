"""Ground truth of one image, and what is known of many: instances, classes, statistics, splits."""
