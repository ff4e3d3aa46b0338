"""Files that are whole or not there."""

import errno
import os
import stat

import pytest

from keras_rescnet import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("data", [b"new", "new", memoryview(b"new")])
def test_a_file_is_replaced_as_a_whole(data, tmp_path):
    (tmp_path / "a.json").write_text("a longer old text")
    files.write(tmp_path / "a.json", data)
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert names(tmp_path) == ["a.json"]


def test_a_link_is_replaced_not_followed(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a").symlink_to(tmp_path / "precious")
    files.write(tmp_path / "a", "new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "a").read_text() == "new" and not (tmp_path / "a").is_symlink()


def test_a_full_disk_leaves_what_was_there(small_disk):
    disk = small_disk("64k")
    files.write(disk / "a", "old")
    with pytest.raises(OSError, match="No space left") as caught:
        files.write(disk / "a", b"0" * 200_000)
    assert caught.value.filename == str(disk / "a")
    assert (disk / "a").read_text() == "old"
    assert names(disk) == ["a"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    with pytest.raises(ZeroDivisionError), files.write_folder(tmp_path / "model") as aside:
        (aside / "half").write_text("half")
        raise ZeroDivisionError
    assert names(tmp_path) == ["model"] and names(tmp_path / "model") == ["old"]
    with files.write_folder(tmp_path / "model") as aside:
        (aside / "deep").mkdir()
        (aside / "deep" / "new").write_text("new")
        assert names(tmp_path / "model") == ["old"]
    assert names(tmp_path) == ["model"] and names(tmp_path / "model") == ["deep"]


def test_what_is_written_aside_keeps_its_suffix(tmp_path):
    with files.write_aside(tmp_path / "model.keras") as aside:
        assert (aside.parent, aside.suffix) == (tmp_path, ".keras")
        aside.write_text("model")
    assert names(tmp_path) == ["model.keras"]


def test_everything_is_synced_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []

    def sync(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", sync)
    with files.write_folder(tmp_path / "model") as aside:
        (aside / "deep").mkdir()
        (aside / "deep" / "file").write_text("new")
    assert set(synced[:-1]) == {str(aside), f"{aside}/deep", f"{aside}/deep/file"}
    assert synced[-1] == str(tmp_path)  # the name itself, last


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_file_systems_that_cannot_sync_folders_will_do(number, tmp_path, monkeypatch):
    def sync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", sync)
    files.write(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"


def test_a_file_that_cannot_be_synced_is_not_given_its_name(tmp_path, monkeypatch):
    def sync(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="Input/output error") as caught:
        files.write(tmp_path / "a", "new")
    assert not names(tmp_path)
    assert caught.value.filename == str(tmp_path / "a")


def test_a_message_without_a_number_stays(tmp_path):
    with pytest.raises(ConnectionError, match="^away$"), files.write_aside(tmp_path / "a"):
        raise ConnectionError("away")


def test_leftovers_alone_are_removed(tmp_path):
    for name in (".a.12.tmp", ".model.12.tmp.keras", ".tmp", ".a.tmp", "a.12.tmp", "a"):
        (tmp_path / name).write_text(name)
    (tmp_path / ".saved_model.12.tmp" / "deep").mkdir(parents=True)
    files.remove_leftovers(tmp_path)
    assert names(tmp_path) == [".a.tmp", ".tmp", "a", "a.12.tmp"]
    files.remove_leftovers(tmp_path / "none")


def test_a_checksum_is_of_all_else():
    facts = {"a": 1, "b": [2.5]}
    sealed = {**facts, "checksum": files.checksum(facts)}
    assert files.checksum(sealed) == sealed["checksum"]
    assert files.checksum({**sealed, "a": 2}) != sealed["checksum"]
