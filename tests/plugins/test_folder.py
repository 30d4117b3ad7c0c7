"""The data set `folder`: layouts, exact pixels of every kind of picture, and bad input."""

from __future__ import annotations

import io
import os
import random
import shutil
import stat
import struct
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sngan_cli.contracts import DataError, Pictures, UnreadablePictureError, UsageError
from sngan_cli.engine.cache import prepare
from sngan_plugins.datasets.folder import Folder

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)
CIFAR = Path(__file__).parents[3] / "shared" / "data" / "cifar10-train.zip"


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def plain(color: tuple[int, int, int] = RED, size: tuple[int, int] = (4, 4)) -> bytes:
    return encoded(Image.new("RGB", size, color))


def noise(height: int = 4, width: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def opened(root: Path) -> Pictures:
    return Folder().open(root, root.parent / "unused")


def labels(pictures: Pictures) -> dict[str, int]:
    return {pictures.name(i): pictures.read(i, 4)[1] for i in range(len(pictures))}


def decoded(tmp_path: Path, content: bytes, side: int) -> np.ndarray:
    """What the data set makes of one picture."""
    return opened(write(tmp_path / "one", {"picture.png": content})).read(0, side)[0]


# Layouts -------------------------------------------------------------------------------------------------------------

CLASSES = {"dog/b.png": plain(GREEN), "cat/deep/er/a.JPG": plain(), "cat/z.png": plain(), "dog/a.webp": plain()}
LABELS = {"cat/deep/er/a.JPG": 0, "cat/z.png": 0, "dog/a.webp": 1, "dog/b.png": 1}
RUBBISH = {".DS_Store": b"", "read.me": b"x", "cat/.hidden.png": b"x", ".git/x.png": b"x", "__MACOSX/cat/._z.png": b"x"}


@pytest.mark.parametrize("rubbish", [{}, RUBBISH])
def test_sub_folders_are_the_classes(tmp_path: Path, rubbish: dict[str, bytes]) -> None:
    for root in (write(tmp_path / "f", CLASSES | rubbish), write_zip(tmp_path / "z.zip", CLASSES | rubbish)):
        pictures = opened(root)
        assert pictures.class_names == ("cat", "dog")
        assert labels(pictures) == LABELS
        assert pictures.max_unreadable == 100


def test_files_that_are_no_pictures_are_told_of(tmp_path: Path) -> None:
    by_products = {"Thumbs.db": b"", "cat/desktop.ini": b"", "dog/.DS_Store": b"", "__MACOSX/a.txt": b""}
    read = "read are avif, bmp, gif, jfif, jpeg, jpg, pgm, png, ppm, tif, tiff, webp."
    for number, (others, said) in enumerate((
        ({}, []),
        ({"cat/x.heic": b""}, [f"Passed over 1 file of another kind, such as cat/x.heic: {read}"]),
        ({"cat/x.heic": b"", "all.zip": b""}, [f"Passed over 2 files of other kinds, such as all.zip: {read}"]),
    )):  # fmt: skip
        files = CLASSES | by_products | others
        for root in (write(tmp_path / f"f{number}", files), write_zip(tmp_path / f"{number}.zip", files)):
            assert opened(root).remarks == said


def test_a_folder_with_an_archive_alone_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no pictures in .*/f, but 1 file of another kind, such as all\.zip\. Expected"
    ):
        opened(write(tmp_path / "f", {"all.zip": b""}))


def test_parts_of_a_data_set_that_are_taken_for_classes_are_told_of(tmp_path: Path) -> None:
    parts = {"Train/a/1.png": plain(), "test/a/1.png": plain()}
    pictures = opened(write(tmp_path / "f", parts))
    assert pictures.class_names == ("Train", "test")
    assert pictures.remarks == [
        "The folders Train, test are taken for classes: to train on one part of the data, give it to --data-dir."
    ]
    assert opened(write(tmp_path / "g", parts | {"cat/1.png": plain()})).remarks == []


def test_the_size_is_known_before_and_after_reading(tmp_path: Path) -> None:
    files = {"a.png": encoded(Image.fromarray(noise(5, 9))), "b.png": b"torn"}
    for read_first in (False, True):
        pictures = opened(write(tmp_path / "f", files))
        if read_first:
            pictures.read(0, 4)
        assert (pictures.size(0), pictures.size(1)) == ((9, 5), None)


def test_pictures_without_sub_folders_are_unlabelled(tmp_path: Path) -> None:
    files = {"b.png": plain(GREEN), "a.png": plain(), "notes/read.me": b""}
    for root in (write(tmp_path / "f", files), write_zip(tmp_path / "z.zip", files)):
        pictures = opened(root)
        assert pictures.class_names is None
        assert labels(pictures) == {"a.png": 0, "b.png": 0}
        assert (pictures.read(1, 4)[0] == GREEN).all()


@pytest.mark.parametrize("wrapper", ["wrap/", "my/own wrap/"])
def test_a_folder_that_wraps_everything_is_looked_through(tmp_path: Path, wrapper: str) -> None:
    around = {f"{wrapper}{name}": content for name, content in CLASSES.items()} | {"__MACOSX/x.png": b"", "a.txt": b""}
    for root in (write(tmp_path / "f", around), write_zip(tmp_path / "z.zip", around)):
        pictures = opened(root)
        assert pictures.class_names == ("cat", "dog")
        assert labels(pictures) == {f"{wrapper}{name}": label for name, label in LABELS.items()}


def test_one_folder_of_pictures_in_an_archive_is_unlabelled(tmp_path: Path) -> None:
    assert opened(write_zip(tmp_path / "z.zip", {"photos/a.png": plain(), "photos/b.png": plain()})).class_names is None


def test_an_archive_with_folder_entries_and_backslashes(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", {"cat/": b"", "cat\\a.png": plain(), "dog\\a.png": plain(GREEN)})
    assert labels(opened(path)) == {"cat/a.png": 0, "dog/a.png": 1}


def test_an_archive_whose_entries_begin_at_its_own_folder(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", {"./": b"", **{f"./{name}": content for name, content in CLASSES.items()}})
    assert labels(opened(path)) == LABELS


def test_endings_of_pictures(tmp_path: Path) -> None:
    """A kind that this Pillow cannot read is a broken picture, not one that is left out in silence."""
    names = [f"a.{ending}" for ending in ("avif", "jfif", "pgm", "tiff", "webp")]
    pictures = opened(write(tmp_path / "f", {name: plain() for name in names}))
    assert [pictures.name(index) for index in range(len(pictures))] == names


def test_nothing_is_unpacked(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", CLASSES)
    labels(opened(path))
    assert list(tmp_path.iterdir()) == [path]


def test_linked_class_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root = write(tmp_path / "f", {"dog/a.png": plain()})
    (root / "cat").symlink_to(write(tmp_path / "elsewhere", {"a.png": plain()}), target_is_directory=True)
    (root / "dog" / "again").symlink_to(root, target_is_directory=True)
    assert labels(opened(root)) == {"cat/a.png": 0, "dog/a.png": 1}


def test_default_side_is_the_shorter_one_of_the_first_readable_picture(tmp_path: Path) -> None:
    pictures = opened(write(tmp_path / "f", {"a.png": b"broken", "b.png": plain(size=(9, 5)), "c.png": plain()}))
    assert Folder().default_side(pictures) == 5
    assert Folder().default_side(opened(write(tmp_path / "g", {"a.png": plain(size=(70, 65))}))) == 64


def test_identity_names_the_content_of_an_archive(tmp_path: Path) -> None:
    here, there = write_zip(tmp_path / "a.zip", CLASSES), tmp_path / "b.zip"
    shutil.copy(here, there)
    assert opened(here).identity == opened(there).identity
    renamed = {name.replace("dog", "hog"): content for name, content in CLASSES.items()}
    changed = CLASSES | {"cat/z.png": plain(GREEN)}
    # Of one colour for another, in as many bytes.
    bitmaps = [CLASSES | {"cat/z.bmp": encoded(Image.new("RGB", (4, 4), color), "BMP")} for color in (RED, GREEN)]
    files_of_others = (renamed, changed, *bitmaps)
    others = [opened(write_zip(tmp_path / f"{i}.zip", files)).identity for i, files in enumerate(files_of_others)]
    assert len({opened(here).identity, *others}) == 5


def test_identity_of_a_folder_follows_its_content(tmp_path: Path) -> None:
    root = write(tmp_path / "f", CLASSES)
    first = opened(root).identity
    assert opened(root.rename(tmp_path / "g")).identity == first
    os.utime(tmp_path / "g" / "cat" / "z.png", ns=(1, 1))
    assert opened(tmp_path / "g").identity == first


@pytest.mark.parametrize("left", ["", "0" * 63, "\0" * 64, "\xff"])
def test_a_note_of_its_content_that_a_crash_has_spoilt_is_made_again(tmp_path: Path, left: str) -> None:
    first, other = (
        opened(write(tmp_path / name, {"a.png": plain(color)})) for name, color in zip("fg", (RED, GREEN), strict=True)
    )
    notes = list((tmp_path / "unused").rglob("fingerprints/*"))
    assert len(notes) == 2
    for note in notes:
        note.write_bytes(left.encode("latin-1"))
    found = [opened(tmp_path / name).identity for name in "fg"]
    assert found == [first.identity, other.identity]
    assert len({*found}) == 2


def test_identity_of_a_folder_names_its_pictures(tmp_path: Path) -> None:
    """The same contents in the same order may be of other classes."""
    files = (("cat/a.png", "cat/b.png", "dog/c.png"), ("cat/a.png", "dog/b.png", "dog/c.png"))
    roots = [write(tmp_path / str(k), dict.fromkeys(names, plain())) for k, names in enumerate(files)]
    assert opened(roots[0]).identity != opened(roots[1]).identity


def test_folders_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    """Names, sizes and times are equal, as in archives that were packed to be reproducible."""
    identities = set()
    for name, color in (("one", RED), ("two", GREEN)):
        root = write(tmp_path / name, {"a.bmp": encoded(Image.new("RGB", (4, 4), color), "BMP")})
        os.utime(root / "a.bmp", ns=(0, 0))
        identities.add(opened(root).identity)
    # An edit that keeps size and time changes the time of the inode's change, at the least.
    (tmp_path / "two" / "a.bmp").write_bytes(encoded(Image.new("RGB", (4, 4), WHITE), "BMP"))
    os.utime(tmp_path / "two" / "a.bmp", ns=(0, 0))
    identities.add(opened(tmp_path / "two").identity)
    assert len(identities) == 3


def test_pictures_that_are_changed_while_they_are_decoded_are_not_kept(tmp_path: Path) -> None:
    """What was decoded would stand for the pictures as they were, once these are back."""
    root, archive = write(tmp_path / "f", CLASSES), write_zip(tmp_path / "z.zip", CLASSES)
    for place, changed in ((root, root / "cat" / "z.png"), (archive, archive)):
        pictures = opened(place)
        assert not pictures.is_changed()
        away = changed.rename(tmp_path / "away")
        assert pictures.is_changed()
        if place == root:
            with pytest.raises(DataError, match=r"^The pictures were changed while they were decoded: try again\.$"):
                prepare(pictures, 4, tmp_path / "cache")
        away.rename(changed)
        assert prepare(opened(place), 4, tmp_path / "cache").skipped == ()


def test_contents_are_read_once_for_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "f", CLASSES)
    first = opened(root).identity
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("a file was read again"))
    assert opened(root).identity == first


def test_a_pipe_and_a_giant_are_not_read(tmp_path: Path) -> None:
    root = write(tmp_path / "f", {"good.png": plain()})
    os.mkfifo(root / "pipe.png")
    with (root / "giant.png").open("wb") as file:
        file.truncate(2**40)
    pictures = opened(root)
    assert [pictures.name(i) for i in range(3)] == ["giant.png", "good.png", "pipe.png"]
    for index, reason in ((0, r"its \d+ bytes are far too many"), (2, "it is no regular file")):
        with pytest.raises(UnreadablePictureError, match=reason):
            pictures.read(index, 4)


def test_a_name_that_is_no_utf_8_is_written_as_escapes(tmp_path: Path) -> None:
    root = write(tmp_path / "f", {"good/a.png": plain(), os.fsdecode(b"\xff/\xfe.png"): b"broken"})
    pictures = opened(root)
    assert (pictures.class_names, pictures.name(1)) == (("good", r"\xff"), r"\xff/\xfe.png")
    with pytest.raises(UnreadablePictureError):
        pictures.read(1, 4)


def test_control_characters_in_a_name_are_written_as_escapes(tmp_path: Path) -> None:
    pictures = opened(write(tmp_path / "f", {"good/a.png": plain(), "\x1b[31mred\n/日本\u3000a.png": plain()}))
    assert pictures.class_names == (r"\x1b[31mred\n", "good")
    assert pictures.name(0) == "\\x1b[31mred\\n/日本\u3000a.png"


def test_folders_that_are_written_alike_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"new\nline/a.png": plain(), r"new\nline/b.png": plain(), "x/c.png": plain()})
    with pytest.raises(DataError) as caught:
        opened(folder)
    assert str(caught.value).startswith(r"The folders 'new\nline' and 'new\\nline' in ")
    assert str(caught.value).endswith(r" are both written 'new\\nline': rename one.")


def test_levels_of_other_types(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePictureError, match="floating-point"):
        decoded(tmp_path, encoded(Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)), "TIFF"), 4)
    for level, expected in ((200, 200), (255, 255), (257 * 200, 200), (257 * 200 + 200, 201), (70_000, 255)):
        picture = encoded(Image.fromarray(np.full((4, 4), level, dtype=np.int32)), "TIFF")
        assert decoded(tmp_path, picture, 4)[0, 0].tolist() == [expected] * 3


def test_no_readable_picture_says_why(tmp_path: Path) -> None:
    pictures = opened(write(tmp_path / "f", {"a.png": b"x", "b.png": b""}))
    with pytest.raises(DataError, match=r"None of the pictures in .* can be read, such as a\.png: it is in no picture"):
        Folder().default_side(pictures)


def test_an_archive_can_be_read_from_many_threads(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", {f"{i:03}.png": plain((i, 0, 255 - i)) for i in range(200)})
    pictures = opened(path)
    with ThreadPoolExecutor(8) as pool:
        colors = list(pool.map(lambda i: tuple(pictures.read(i, 4)[0][0, 0].tolist()), range(200)))
    assert colors == [(i, 0, 255 - i) for i in range(200)]


@pytest.mark.skipif(not CIFAR.is_file(), reason="the archive is not here")
def test_cifar10_as_an_archive_of_jpegs() -> None:
    pictures = opened(CIFAR)
    assert len(pictures) == 50_000
    assert pictures.class_names is not None
    assert tuple(pictures.class_names[:4]) == ("airplane", "automobile", "bird", "cat")
    assert [pictures.read(i, 32)[1] for i in range(0, 50_000, 5000)] == list(range(10))
    assert Folder().default_side(pictures) == 32


# Pixels --------------------------------------------------------------------------------------------------------------


def test_a_picture_of_the_right_side_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = decoded(tmp_path, encoded(Image.fromarray(noise())), 4)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, noise())


@pytest.mark.parametrize(("height", "width", "middle"), [(4, 8, np.s_[:, 2:6]), (8, 4, np.s_[2:6, :])])
def test_the_square_in_the_middle_is_kept(tmp_path: Path, height: int, width: int, middle: Any) -> None:
    pixels = noise(height, width)
    np.testing.assert_array_equal(decoded(tmp_path, encoded(Image.fromarray(pixels)), 4), pixels[middle])


def test_resizing_is_bicubic_with_antialiasing(tmp_path: Path) -> None:
    """By hand (a = -1/2): at half size a pixel sees 8, weighted w(1/4) = 111, w(3/4) = 29, w(5/4) = -9, w(7/4) = -3,
    in 256ths, on either side. The pixel before a step of 200 sees 3 beyond it: (29 - 9 - 3) / 256 of it.
    """
    step = np.repeat([0, 200], 8).astype(np.uint8)
    half = decoded(tmp_path, encoded(Image.fromarray(np.tile(step[None, :, None], (16, 1, 3)))), 8)
    expected = [0, 0, -3, 17, 256 - 17, 256 + 3, 256, 256]
    row = [max(0, round(200 * weight / 256)) for weight in expected]
    assert row == [0, 0, 0, 13, 187, 202, 200, 200]
    np.testing.assert_array_equal(half, np.tile(np.array(row)[None, :, None], (8, 1, 3)))


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, [[1, 2], [3, 4]]), (2, [[2, 1], [4, 3]]), (3, [[4, 3], [2, 1]]), (4, [[3, 4], [1, 2]]),
        (5, [[1, 3], [2, 4]]), (6, [[3, 1], [4, 2]]), (7, [[4, 2], [3, 1]]), (8, [[2, 4], [1, 3]]),
    ],
)  # fmt: skip
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int, upright: list[list[int]]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(np.array([[1, 2], [3, 4]], np.uint8)), exif=exif)
    np.testing.assert_array_equal(decoded(tmp_path, content, 2), np.dstack([upright] * 3))


def palette_with_a_hole() -> Image.Image:
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *GREEN])
    picture.putdata([0, 1])
    picture.info["transparency"] = 1
    return picture


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("RGBA", (1, 1), (255, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (1, 1), (255, 0, 0, 255)), RED),
        (Image.new("RGBA", (1, 1), (255, 0, 0, 51)), (255, 204, 204)),  # 255 (1 - 51/255)
        (Image.new("LA", (1, 1), (0, 51)), (204, 204, 204)),
        (palette_with_a_hole().crop((0, 0, 1, 1)), RED),
        (palette_with_a_hole().crop((1, 0, 2, 1)), WHITE),
        (Image.new("L", (1, 1), 7), (7, 7, 7)),
        (Image.new("1", (1, 1), 1), WHITE),
    ],
)
def test_transparency_is_laid_on_white_and_grey_becomes_rgb(
    tmp_path: Path, picture: Image.Image, expected: tuple[int, int, int]
) -> None:
    assert decoded(tmp_path, encoded(picture), 1).tolist() == [[list(expected)]]


def test_16_bit_grey_is_scaled_by_its_range(tmp_path: Path) -> None:
    levels = np.array([[0, 257], [128 * 257, 65535]], np.uint16)
    expected = np.dstack([[[0, 1], [128, 255]]] * 3)
    ppm = b"P5 2 2 65535\n" + levels.astype(">u2").tobytes()
    for content in (encoded(Image.fromarray(levels)), encoded(Image.fromarray(levels), "TIFF"), ppm):
        np.testing.assert_array_equal(decoded(tmp_path, content, 2), expected)


def test_cmyk_is_converted(tmp_path: Path) -> None:
    pixels = decoded(tmp_path, encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100), 8)
    np.testing.assert_allclose(pixels.astype(int), np.broadcast_to(RED, (8, 8, 3)), atol=2)


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), color) for color in (GREEN, RED)]
    for form in ("GIF", "PNG", "WEBP"):
        content = encoded(frames[0], form, save_all=True, append_images=frames[1:], lossless=True)
        assert (decoded(tmp_path, content, 2) == GREEN).all()


# Bad input -----------------------------------------------------------------------------------------------------------

HUGE, LARGE = b"P6 60000 60000 255\n", b"P6 10000 10000 255\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"^it is in no picture format that is known, or damaged$"),
        (b"<html>", r"^it is in no picture format that is known, or damaged$"),
        (encoded(Image.fromarray(noise(64, 64)))[:2000], r"truncated"),
        (encoded(Image.fromarray(noise(64, 64)), "JPEG")[:-600], r"truncated"),
        (HUGE, r"far too large, like a decompression bomb"),
        (LARGE, r"far too large, like a decompression bomb"),
    ],
    ids=["empty", "text", "truncated-png", "truncated-jpeg", "huge", "large"],
)
def test_a_broken_picture_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    pictures = opened(write(tmp_path / "f", {"a.png": content}))
    with pytest.raises(UnreadablePictureError, match=reason):
        pictures.read(0, 4)
    pictures = opened(write_zip(tmp_path / "z.zip", {"a.png": content}))
    with pytest.raises(UnreadablePictureError, match=reason):
        pictures.read(0, 4)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_that_pillow_only_warns_of_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePictureError, match=r"\(10000 x 10000 pixels\)"):
        opened(write(tmp_path / "f", {"a.png": LARGE})).read(0, 4)


def test_a_class_folder_that_is_a_dead_link_is_a_broken_picture(tmp_path: Path) -> None:
    root = write(tmp_path / "f", {"wrap/dog/a.png": plain(), "wrap/eel/a.png": plain(), "read.me": b"x"})
    (root / "wrap" / "cat").symlink_to(tmp_path / "absent", target_is_directory=True)
    (root / ".hidden").symlink_to(tmp_path / "absent")
    pictures = opened(root)
    assert pictures.class_names == ("dog", "eel")
    assert [pictures.name(i) for i in range(len(pictures))] == ["wrap/dog/a.png", "wrap/eel/a.png", "wrap/cat"]
    with pytest.raises(UnreadablePictureError, match=r"it is a link to /.*/absent, which is not there"):
        pictures.read(2, 4)


def test_a_dead_link_is_a_broken_picture(tmp_path: Path) -> None:
    root = write(tmp_path / "f", {"a.png": plain()})
    (root / "b.png").symlink_to(tmp_path / "absent.png")
    with pytest.raises(UnreadablePictureError, match=r"it is a link to /.*/absent\.png, which is not there"):
        opened(root).read(1, 4)


def test_a_link_in_a_zip_archive_is_a_broken_picture(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", {"dog/a.png": plain(), "eel/a.png": plain()})
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("cat", "dog/b.png"):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "dog")
    pictures = opened(path)
    assert pictures.class_names == ("dog", "eel")
    assert [pictures.name(i) for i in range(len(pictures))] == ["dog/a.png", "dog/b.png", "eel/a.png", "cat"]
    for index in (1, 3):
        with pytest.raises(UnreadablePictureError, match="it is a link, and none is followed in a zip archive"):
            pictures.read(index, 4)


def test_no_readable_picture_has_no_default_side(tmp_path: Path) -> None:
    pictures = opened(write(tmp_path / "f", {"a.png": b"", "b.png": b""}))
    with pytest.raises(DataError, match=r"None of the pictures in .*/f can be read"):
        Folder().default_side(pictures)


def test_a_place_must_be_given() -> None:
    with pytest.raises(UsageError, match=r"'folder' needs --data-dir: a folder or an archive of pictures"):
        Folder().open(None, Path("unused"))


@pytest.mark.parametrize("files", [{}, {"read.me": b"", ".a.png": b"", "cat/notes.txt": b""}])
def test_a_place_without_pictures_says_what_is_expected(tmp_path: Path, files: dict[str, bytes]) -> None:
    expected = r"no pictures in .*\. Expected are pictures \(avif, bmp, gif, .*webp\), either all together or in one "
    (tmp_path / "f").mkdir()
    for root in (write(tmp_path / "f", files), write_zip(tmp_path / "z.zip", files)):
        with pytest.raises(DataError, match=expected + "sub-folder a class"):
            opened(root)


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no archive")
    with pytest.raises(
        DataError, match=r"a\.zip is neither a folder nor a zip or tar archive that can be read \(File is not"
    ):
        opened(tmp_path / "a.zip")


@pytest.mark.parametrize("kept", [40, 300])
def test_a_download_that_was_cut_off(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("x/1.png")
        entry.size = 100_000
        archive.addfile(entry, io.BytesIO(random.Random(0).randbytes(entry.size)))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"a\.tgz cannot be (read|unpacked)"):
        Folder().open(path, tmp_path / "unpacked")


def test_a_truncated_archive(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", CLASSES)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"a\.zip is neither a folder nor a zip or tar archive that can be read"):
        opened(path)


def test_a_damaged_entry_is_a_broken_picture(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": plain()}, zipfile.ZIP_STORED)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"IDAT", b"IDAX", 1))
    with pytest.raises(UnreadablePictureError, match="Bad CRC-32"):
        opened(path).read(0, 4)


@pytest.mark.parametrize("name", ["../a.png", "cat/../../a.png", "cat\\..\\a.png", "/a.png", "\\a.png", "C:\\a.png"])
def test_an_archive_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "a.zip", {"cat/a.png": plain(), name: plain()})
    with pytest.raises(DataError, match=r"a\.zip is refused: its entry .* points outside") as refused:
        opened(path)
    assert repr(name) in str(refused.value)


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": plain()})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flags in the central directory
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip is encrypted \('a\.png'\): unpack it, and give --data-dir"):
        opened(path)


def with_declared_size(path: Path, size: int) -> Path:
    """Change the size that the only entry of an archive says it unpacks to."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, size)
    path.write_bytes(content)
    return path


def test_decompression_bombs_are_not_unpacked(tmp_path: Path) -> None:
    swollen = write_zip(tmp_path / "a.zip", {"a.png": bytes(17 * 2**20)})
    huge = write_zip(tmp_path / "b.zip", {"a.png": plain()})
    for path, size in ((swollen, 17 * 2**20), (with_declared_size(huge, 256 * 2**20 + 1), 256 * 2**20 + 1)):
        with pytest.raises(UnreadablePictureError, match=f"would unpack to {size} bytes, like a decompression bomb"):
            opened(path).read(0, 4)


def test_an_entry_is_not_unpacked_beyond_its_declared_size(tmp_path: Path) -> None:
    path = with_declared_size(write_zip(tmp_path / "a.zip", {"a.png": plain() + bytes(2**20)}), 100)
    with pytest.raises(UnreadablePictureError, match="Bad CRC-32"):
        opened(path).read(0, 4)


def test_an_entry_packed_by_a_rare_method_is_not_unpacked(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": plain()}, zipfile.ZIP_BZIP2)
    with pytest.raises(UnreadablePictureError, match="packed by another method than deflate"):
        opened(path).read(0, 4)


def test_loose_pictures_beside_class_folders_are_a_choice_to_make(tmp_path: Path) -> None:
    root = write(tmp_path / "f", CLASSES | {"loose.png": plain()})
    expected = r"both loose pictures \(such as loose\.png\) and folders of them \(such as cat/\): choose one of the two"
    with pytest.raises(DataError, match=expected):
        opened(root)


def test_a_class_folder_without_pictures_is_named(tmp_path: Path) -> None:
    """As in torchvision's ImageFolder: left out in silence, a class would be missing and others renumbered."""
    files = CLASSES | {"cow/a.heic": b""}
    for root in (write(tmp_path / "f", files), write_zip(tmp_path / "z.zip", files)):
        with pytest.raises(
            DataError, match=r"The folder cow/ in .* holds no pictures, but every sub-folder is a class"
        ):
            opened(root)
