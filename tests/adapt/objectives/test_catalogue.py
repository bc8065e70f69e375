import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

import numpy as np  # noqa: E402

from llmrec_prompt.adapt.histories import Population, Texts  # noqa: E402
from llmrec_prompt.adapt.objectives.catalogue import NEIGHBOURS, Neighbours, pseudo_histories  # noqa: E402
from llmrec_prompt.adapt.recipe import Source  # noqa: E402
from llmrec_prompt.errors import DataError  # noqa: E402

from ..learning import bench, learn, quality, source  # noqa: E402

GROUPS = 6


def letters(text, first):
    return [256] * first + list(text.encode())


@pytest.fixture
def people(bare):
    return Population(Source(data=str(bare)), logs=False)


def walks(people, **changes):
    texts = Texts(people.dataset, people.prompter, letters)
    return pseudo_histories(people, texts, **{"size": 3, "most": 1000, "seed": 0, **changes})


def test_neighbours_share_a_word_and_the_nearest_comes_first(people):
    near = Neighbours(people)
    for row in range(len(people.dataset.items)):
        rows, scores = near.of(row)
        assert 0 < len(rows) <= NEIGHBOURS
        assert row not in rows
        assert {int(r) % GROUPS for r in rows} == {row % GROUPS}
        assert list(scores) == sorted(scores, reverse=True)


def test_every_item_begins_one_walk_and_no_walk_comes_back(people):
    found = walks(people)
    assert sorted(w.rows[0] for w in found) == list(range(36))
    for window in found:
        rows = [*window.rows, window.targets[-1]]
        assert len(set(rows)) == len(rows) == 4
        assert window.rows[1:] == window.targets[:-1]
        assert {row % GROUPS for row in rows} == {rows[0] % GROUPS}
        assert {*rows} <= {*window.own}


def test_walks_are_fixed_by_the_seed_and_capped(people):
    assert [w.rows for w in walks(people)] == [w.rows for w in walks(people)]
    assert [w.targets for w in walks(people)] != [w.targets for w in walks(people, seed=1)]
    assert len(walks(people, most=5)) == 5


def test_items_without_a_common_word_are_an_error(tmp_path):
    rows = '{"item_id": "1", "title": "Alpha"}\n{"item_id": "2", "title": "Beta"}\n'
    (tmp_path / "items.jsonl").write_text(rows)
    (tmp_path / "meta.json").write_text('{"name": "odd", "domain": "movies"}')
    with pytest.raises(DataError, match="no words in common"):
        walks(Population(Source(data=str(tmp_path)), logs=False))


def test_logs_are_left_alone(groups):
    people = Population(Source(data=str(groups), test=20, validation=8), logs=False)
    assert people.users == []
    assert len(people.validation) == 8
    assert not np.any(people.train.popularity())


@pytest.mark.hf
def test_texts_alone_help_users_nobody_has_seen_and_shuffled_ones_do_not(tiny, groups):
    given = bench(tiny, {"catalogue": 1}, [groups], steps=40, batch=8)
    before = quality(given)
    first, last = learn(given, lr=3e-3)
    assert last < 0.2 * first
    assert quality(given) > before + 0.1
    control = bench(tiny, {"catalogue": 1}, [groups], steps=40, batch=8, shuffle_targets=True)
    learn(control, lr=3e-3)
    assert quality(control) < before + 0.1


@pytest.mark.hf
def test_a_folder_of_items_is_enough(tiny, bare):
    given = bench(tiny, {"catalogue": 1}, [source(bare)], steps=2, batch=4)
    assert given.evaluate is None
    assert given.course.mode == "encoder"
    assert torch.isfinite(given.course.module(given.lessons[0])["loss"])
