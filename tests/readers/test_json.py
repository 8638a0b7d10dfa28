import pytest

from segprep.readers import _json
from segprep.readers._json import is_object_about


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        (b'{"shapes": 1, "imagePath": 2%s}', True),
        (b'{"shapes": 1, %s "imagePath": 2}', True),
        (b'{%s "shapes": 1, "imagePath": 2}', True),
        (b'{"shapes": 1%s}', False),
        (b'["shapes", "imagePath"%s]', False),
        (b'{%s "shapes": 1, "imagePath": 2, %s}', False),
    ],
)
def test_keys_of_a_large_text_are_searched_if_one_is_at_an_end(text, is_found, monkeypatch):
    monkeypatch.setattr(_json, "_ONE_IMAGE", 100)
    monkeypatch.setattr(_json, "_END", 50)
    assert is_object_about(text.replace(b"%s", b" " * 200), "shapes", "imagePath") is is_found
    assert is_object_about(text.replace(b"%s", b""), "shapes", "imagePath") is (is_found or text.count(b"%s") > 1)
