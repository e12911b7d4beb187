"""One topic, one name, four rooms: the module, the chapter, the exercises and the tests."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NO_TOPICS = {"__init__", "__main__", "version"}
# Tests of the repository as a whole.
OF_ALL = {"import", "readme"}


def names(folder, pattern):
    return {path.stem for path in (ROOT / folder).glob(pattern)}


def test_four_rooms_hold_the_same_topics():
    topics = names("vglib", "*.py") - NO_TOPICS
    assert names("chapters", "*.md") - {"index"} == topics
    assert names("exercises", "*.ipynb") == topics
    assert {name.removeprefix("test_") for name in names("tests", "test_*.py")} - OF_ALL == topics


def test_every_chapter_is_in_the_table_of_contents():
    listed = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    for name in names("chapters", "*.md"):
        assert f": chapters/{name}\n" in listed
