"""Annotations of COCO."""


def square(image, category, y, x, side):
    """Annotation of a square, from its upper left corner and its side."""
    corners = [x, y, x + side, y, x + side, y + side, x, y + side]
    return {"image_id": image, "category_id": category, "segmentation": [corners]}
