import logging
import shutil

import pytest

from llmrec_prompt.adapters import add, find, for_domain, list_adapters, registry, remove
from llmrec_prompt.adapters.card import Base
from llmrec_prompt.errors import AdapterError, MissingExtra, UnknownName

from .made import BASE, card, write_adapter

OTHER = "0000000000000000"


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    """No shipped adapters, so that what a test finds is its own."""
    monkeypatch.setattr(registry, "_ROOM", tmp_path / "room" / "package")
    return tmp_path / "room" / "package" / "shipped_adapters"


pytestmark = pytest.mark.usefixtures("shipped")


def test_found_by_name_by_domain_and_by_folder(places, tmp_path):
    here, _ = places
    write_adapter(here / "adapters" / "a", card("one", "movies"))
    elsewhere = write_adapter(tmp_path / "elsewhere", card("two", "books"))
    assert list(list_adapters()) == ["one"]
    assert find("one").card.name == find("movies").card.name == "one"
    assert find(elsewhere).card.name == find(str(elsewhere)).card.name == "two"
    assert find("one").folder.is_absolute()
    for nothing in ("books", "two", "", "No Such Thing"):
        with pytest.raises(UnknownName, match="Available: movies, one"):
            find(nothing)


def test_places_are_searched_in_order_and_a_name_counts_once(places, shipped):
    here, home = places
    for place, seed in ((shipped, 1), (home, 2), (here / "adapters", 3)):
        write_adapter(place / "same", card("same", "movies", seed=seed))
        assert find("same").card.seed == find("movies").card.seed == seed
    assert len(list_adapters()) == 1


def test_a_folder_of_the_domains_name_without_card_is_no_adapter(places):
    here, home = places
    (here / "movies").mkdir()  # a data set, say
    write_adapter(home / "one", card("one", "movies"))
    assert find("movies").card.name == "one"
    with pytest.raises(AdapterError, match=r"has no card\.yaml"):
        find("./movies/")


def test_the_base_decides_between_adapters_of_a_domain(places):
    _, home = places
    write_adapter(home / "one", card("one", "movies"))
    write_adapter(home / "two", card("two", "movies", base=Base(ref="other", hash=OTHER)))
    assert find("movies", f"{BASE}-f16").card.name == "one"
    assert find("movies", OTHER).card.name == "two"
    with pytest.raises(AdapterError, match="Several adapters serve domain 'movies': one, two"):
        find("movies")
    with pytest.raises(AdapterError, match="No adapter of domain 'movies' fits this model"):
        find("movies", "abcd")
    with pytest.raises(AdapterError, match="trained on other"):
        find("two", BASE)


def test_the_adapter_that_serves_a_domain_if_there_is_one(places):
    _, home = places
    write_adapter(home / "one", card("one", "movies"))
    assert for_domain("movies", f"{BASE}-f16").card.name == "one"
    assert for_domain("movies", OTHER) is None
    assert for_domain("books", BASE) is None
    write_adapter(home / "two", card("two", "movies"))
    with pytest.raises(AdapterError, match=r"one, two\. Say which by name"):
        for_domain("movies", BASE)


def test_two_adapters_for_one_domain_and_base_must_be_named(places):
    here, home = places
    write_adapter(home / "zeta", card("zeta", "movies"))
    write_adapter(here / "adapters" / "alpha", card("alpha", "movies"))
    with pytest.raises(AdapterError, match=r"alpha, zeta\. Say which by name"):
        find("movies", BASE)
    assert find("zeta", BASE).card.name == "zeta"


@pytest.mark.parametrize(
    "text",
    [
        "name: [",
        "[" * 10_000,
        "created: 2024-02-30",
        "".join(f"a{n + 1}: &a{n + 1} [{f'*a{n}, ' * 9 if n else 'x'}]\n" for n in range(12)),
    ],
)
def test_a_broken_card_spoils_no_other(places, caplog, text):
    _, home = places
    write_adapter(home / "good", card("good", "movies"))
    shutil.copytree(home / "good", home / "bad")
    (home / "bad" / "card.yaml").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert list(list_adapters()) == ["good"]
    assert "Left out" in caplog.text


def test_a_card_is_read_again_when_it_changes(places):
    _, home = places
    folder = write_adapter(home / "one", card("one", "movies", seed=1))
    assert find("movies").card.seed == 1
    card("one", "movies", seed=22).save(folder)
    assert find("movies").card.seed == 22


def test_add_copies_what_belongs_and_nothing_else(places, tmp_path):
    _, home = places
    source = write_adapter(tmp_path / "run", card("mine"))
    (source / "optimizer.pt").write_bytes(b"x")
    added = add(find(source))
    assert added.folder == home / "mine"
    assert {p.name for p in added.folder.iterdir()} == set(registry.FILES)
    assert find("mine").card == added.card
    with pytest.raises(AdapterError, match="--force"):
        add(find(source))
    (source / "users.txt").unlink()
    assert not (add(find(source), force=True).folder / "users.txt").exists()
    assert [p.name for p in home.iterdir()] == ["mine"]


def test_add_follows_no_link_out_of_the_folder(places, tmp_path):
    _, home = places
    source = write_adapter(tmp_path / "run", card("mine"))
    (tmp_path / "key.pem").write_text("private")
    (source / "README.md").unlink()
    (source / "README.md").symlink_to("../key.pem")
    with pytest.raises(AdapterError, match=r"links to files outside it: README\.md\. Put the files there"):
        add(find(source))
    assert list(home.iterdir()) == []
    (source / "README.md").unlink()
    (source / "README.md").symlink_to("README.md")  # round and round
    (source / "read.txt").write_text("of the adapter")
    assert not (add(find(source), force=True).folder / "README.md").exists()
    (source / "README.md").unlink()
    (source / "README.md").symlink_to("read.txt")
    (tmp_path / "link").symlink_to(source)  # a folder may be found by a link
    assert (add(find(tmp_path / "link"), force=True).folder / "README.md").read_text() == "of the adapter"


def test_the_hubs_cache_may_be_links_to_its_own_blobs(places, tmp_path):
    from llmrec_prompt.adapters import verify

    snapshot = write_adapter(tmp_path / "models--org--name" / "snapshots" / "abc", card("mine"))
    blobs = tmp_path / "models--org--name" / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(f"../../blobs/{number}")
    assert all(check.ok for check in verify(snapshot))
    assert all(check.ok for check in verify(add(find(snapshot)).folder))
    (tmp_path / "key.pem").write_text("private")
    (blobs / "0").unlink()
    (blobs / "0").symlink_to(tmp_path / "key.pem")
    assert [check.name for check in verify(snapshot) if not check.ok] == ["files"]


def test_add_says_why_it_cannot_copy(places, tmp_path):
    _, home = places
    home.write_text("a file where a folder should be")
    with pytest.raises(AdapterError, match="Cannot copy"):
        add(find(write_adapter(tmp_path / "run")))


def test_remove_deletes_only_what_add_made(places, tmp_path):
    here, home = places
    source = write_adapter(tmp_path / "run", card("mine"))
    add(find(source))
    assert remove("mine") == home / "mine"
    assert list(home.iterdir()) == []
    assert source.is_dir()
    write_adapter(here / "adapters" / "own", card("own"))
    with pytest.raises(AdapterError, match="Delete it there"):
        remove("own")
    assert (here / "adapters" / "own").is_dir()
    with pytest.raises(UnknownName, match="Available: own"):
        remove("mine")


def test_offline_a_hub_id_is_looked_for_on_disk_only(places, monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("LLMREC_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(AdapterError, match="LLMREC_OFFLINE is set") as caught:
        find("nobody/nothing-at-all@main")
    assert "\n" not in str(caught.value)


def test_a_hub_id_needs_an_extra(places, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"llmrec-prompt\[hf\]"):
        find("org/name")


def test_a_missing_folder_is_no_hub_id(places):
    _, home = places
    home.mkdir()
    with pytest.raises(AdapterError, match=r"has no card\.yaml"):
        find("../home/mine")
    with pytest.raises(AdapterError, match=r"has no card\.yaml"):
        find("/no/such/folder")
