"""Places in buckets answer as those on this machine do."""

import io
import os
import pickle
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from helpers.buckets import make_bucket, upload

from segprep.errors import OptionError
from segprep.paths import bucket as bucket_module
from segprep.paths.anypath import name_in, parse_path
from segprep.paths.files import storage
from segprep.paths.listing import Listing, listed_once, listing

FILES = {"a.txt": b"first", "größe/b c.png": b"\0" * 9, "größe/tief/d": b"", "größe-2/e": b"e"}


@pytest.fixture(scope="module")
def twins(object_store, tmp_path_factory):  # noqa: ARG001 - a fixture needs another by its name alone
    """The same files in a folder and in a bucket."""
    folder = tmp_path_factory.mktemp("twins") / "data"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder, upload(folder, make_bucket("twins") / "data")


@pytest.fixture(params=[False, True], ids=["asked", "listed-once"])
def both(twins, request):
    """The twins, asked again for each thing, or listed once."""
    if not request.param:
        yield twins
        return
    with storage(twins[1]).listed_once():
        yield twins


@pytest.mark.parametrize(
    "name", ["a.txt", "größe", "größe/b c.png", "größe/tief", "größe/tief/d", "größe-2", "none", "größ"]
)
def test_objects_exist_and_have_sizes_like_files(both, name):
    file, in_bucket = (each / name for each in both)
    for what in ("exists", "is_file", "is_dir"):
        assert getattr(in_bucket, what)() == getattr(file, what)(), what
    if not file.exists():
        with pytest.raises(FileNotFoundError) as error:
            in_bucket.stat()
        assert (error.value.strerror, error.value.filename) == ("No such file or directory", str(in_bucket))
    elif file.is_file():
        assert in_bucket.stat().st_size == file.stat().st_size
        assert in_bucket.open().read() == in_bucket.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ["", "größe", "größe/tief"])
def test_folders_hold_the_same(both, name):
    here, there = (
        tuple(sorted(name_in(root, each) for each in found) for found in storage(root / name).listed()) for root in both
    )
    assert there == here


def test_all_that_is_in_a_folder_has_the_same_size(twins):
    assert storage(twins[1]).total_bytes() == storage(twins[0]).total_bytes() == sum(map(len, FILES.values()))


@pytest.mark.parametrize("what", ["name", "stem", "suffix"])
@pytest.mark.parametrize("name", ["a.txt", "größe/b c.png", "größe/tief/d", "x.tar.gz"])
def test_parts_of_names_are_those_of_paths(name, what):
    assert getattr(parse_path(f"s3://cells/{name}"), what) == getattr(Path(name), what)


def test_neighbours_are_those_of_paths():
    path = parse_path("s3://cells/train/a.png")
    assert str(path.with_name("b.png")) == "s3://cells/train/b.png"
    assert str(path.with_suffix(".txt")) == "s3://cells/train/a.txt"
    assert [str(each) for each in path.parents] == ["s3://cells/train", "s3://cells"]
    assert str(parse_path("s3://cells").parent) == "s3://cells"
    assert parse_path("s3://cells/").name == "cells"


def test_a_place_is_sent_to_other_processes_by_its_name_alone(twins):
    assert pickle.loads(pickle.dumps(twins[1])) == twins[1]  # noqa: S301 - its own
    assert len(pickle.dumps(twins[1])) < 250


def test_large_objects_are_read_piece_by_piece_as_a_file_is(twins, monkeypatch):
    content = bytes(range(256)) * 4096
    (twins[1].parent / "large").write_bytes(content)
    monkeypatch.setattr(bucket_module, "_FETCHED", 1000)
    with (twins[1].parent / "large").open() as file:
        assert isinstance(file, io.BufferedReader)
        assert (file.read(5), file.seek(-7, 2), file.read()) == (content[:5], len(content) - 7, content[-7:])
        file.seek(300_001)
        assert file.read(70_000) == content[300_001:370_001]


@pytest.mark.usefixtures("object_store")
def test_a_tree_is_removed_and_nothing_beside_it():
    root = make_bucket("felled")
    for name in ("a/b", "a/c/d", "ab"):
        (root / name).write_bytes(b"")
    storage(root / "a").remove_tree()
    assert [str(path) for path, _ in root.walk()] == ["s3://felled/ab"]
    storage(root / "a").remove_tree()


def test_a_folder_is_listed_once_where_that_is_asked_for(tmp_path):
    (tmp_path / "a").touch()
    with listed_once(tmp_path):
        before = listing(tmp_path)
        (tmp_path / "b").touch()
        assert listing(tmp_path) == before == Listing([], [tmp_path / "a"])
    assert listing(tmp_path).files == [tmp_path / "a", tmp_path / "b"]


@pytest.mark.usefixtures("object_store")
def test_objects_that_stand_for_folders_are_no_files():
    import boto3  # noqa: PLC0415 - half a second

    root = make_bucket("consoles") / "data"
    server = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for name in ("data/", "data/labels/", "data/labels/a.png"):
        server.put_object(Bucket="consoles", Key=name, Body=b"")
    for asked_once in (False, True):
        with storage(root).listed_once() if asked_once else nullcontext():
            assert (root.is_file(), (root / "labels").is_file(), (root / "labels/a.png").is_file()) == (
                False,
                False,
                True,
            )
            assert storage(root).listed() == ([root / "labels"], [])
            assert storage(root / "labels").listed() == ([], [root / "labels/a.png"])


@pytest.mark.usefixtures("object_store")
def test_an_object_is_put_only_where_it_is_as_it_was():
    path = make_bucket("conditions") / "one"
    first = path.put_if(b"1", None)
    assert first is not None
    assert path.put_if(b"2", None) is None
    second = path.put_if(b"2", first)
    assert second is not None
    assert path.put_if(b"3", first) is None
    assert path.read_bytes() == b"2"


@pytest.mark.usefixtures("object_store")
def test_a_missing_bucket_is_an_error_that_names_it():
    path = parse_path("s3://nowhere/a")
    with pytest.raises(FileNotFoundError, match="No such file or directory: 's3://nowhere/a'"):
        path.write_bytes(b"")
    with pytest.raises(OSError, match="The specified bucket does not exist"):
        list(path.parent.walk())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://host/a", "ftp://host/a: segprep reads and writes only s3://, gs:// and az://"),
        ("s3:///a", "s3:///a: names no bucket"),
        ("s3://key:secret@cells/a", "s3://...: contains credentials or a query"),
        ("az://cells/a?sig=secret", "az://...: contains credentials or a query"),
        ("s3://cells/a/../../b", "contains ..; give the path without it"),
    ],
)
def test_addresses_that_cannot_be_meant_are_refused_without_their_secrets(text, said):
    with pytest.raises(OptionError, match=re.escape(said)) as error:
        parse_path(text)
    assert "secret" not in str(error.value)


def test_a_bucket_without_obstore_is_an_option_error_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    said = "s3://cells/a: buckets need obstore; install it with: pip install 'segprep[cloud]'"
    with pytest.raises(OptionError, match=re.escape(said)):
        parse_path("s3://cells/a")


@pytest.mark.parametrize("text", ["s3://cells/a", "S3://cells/a", "gs://cells/a/", "az://cells//a"])
def test_addresses_of_buckets_are_places_in_them(text):
    assert str(parse_path(text)) == f"{text[:2].lower()}://cells/a"


@pytest.mark.parametrize("text", ["data", "s3:/cells", "C:\\data", "/data//x", "."])
def test_all_else_is_a_path(text):
    assert parse_path(text) == Path(text)
