import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt import Dataset
from llmrec_prompt.adapters import user_hash, write_users
from llmrec_prompt.backends import load_backend
from llmrec_prompt.errors import ConfigError, DataError, LlmrecError, UnknownName
from llmrec_prompt.evaluate.rates import uses_model
from llmrec_prompt.evaluate.suite import Suite, cell_name, papers
from llmrec_prompt.evaluate.suite_run import report_suite, run_suite
from llmrec_prompt.templates import Prompter, load_domain

from ..rank.toys import adapter_folder
from .shops import FILES, shop

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shop(tmp_path_factory.mktemp("data") / "shop", users=14)


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LLMREC_ADAPTERS", str(tmp_path / "adapters"))


def small(data, **changes):
    return Suite.parse({
        "name": "small", "data": data, "users": 8, "candidates": 6, "models": ["fake:overlap"],
        "embedder": "backend", "rankers": ["random", "popularity", "likelihood"], **changes,
    })  # fmt: skip


def adapter(place, data, name="cups", users=()):
    dataset = Dataset.load(data)
    folder = adapter_folder(
        place,
        name=name,
        domain="shopping",
        base={"ref": "fake:overlap", "hash": load_backend("fake:overlap").info.hash},
        templates={"shopping": Prompter(load_domain("shopping"), catalogue=dataset.items).fingerprint},
    )
    write_users(folder, [user_hash("shop", user) for user in users])
    return folder


def test_a_product_of_everything_asks_rankers_without_a_model_once():
    suite = Suite.parse({
        "name": "all", "data": ["a", {"data": "b", "users": 7, "adapters": ["none", "x"]}],
        "protocols": ["leave-last-out", "cold-user"], "negatives": ["uniform", "popular"],
        "rankers": ["bm25", "fused", "likelihood"], "models": ["smollm2", "fake:random"],
        "templates": [{"language": "en"}, {"language": "zh"}],
    })  # fmt: skip
    cells = papers(suite)
    assert len(cells) == 8
    assert [len(cell.plans) for cell in cells] == [5] * 4 + [9] * 4
    assert {len({plan.ask for plan in cell.plans}) for cell in cells} == {1}
    assert cells[0].plans[0].rankers == ("bm25",)
    assert {plan.users for cell in cells[4:] for plan in cell.plans} == {7}
    last = cells[-1].plans
    assert [plan.adapter for plan in last[1:5]] == [None, None, "x", "x"]
    assert [cell_name(plan) for plan in last[:3]] == ["baselines", "smollm2-en", "smollm2-zh"]
    assert len({cell_name(plan) for plan in last}) == 9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": []}, "data: Tuple should have at least 1 item"),
        ({"rankers": ["fuzed"]}, "Unknown ranker 'fuzed'. Did you mean 'fused'?"),
        ({"rankers": ["bm25+fuzed"]}, "Unknown part of ranker 'bm25+fuzed': 'fuzed'"),
        ({"rankers": ["random", "random"]}, "rankers name something twice"),
        (
            {"protocols": ["leave-one-out"]},
            "Unknown protocol 'leave-one-out'. Did you mean 'leave-last-out'?",
        ),
        ({"user": 20}, "Unknown key 'user'. Did you mean 'users'?"),
        (
            {"data": [{"data": "x", "adapter": "y"}]},
            "Unknown key 'data.0.adapter'. Did you mean 'data.0.adapters'?",
        ),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0 (found -1)"),
        ({"users": 0}, "users: Input should be greater than or equal to 1 (found 0)"),
        ({"candidates": "many"}, "candidates: Input should be a valid integer"),
        (
            {"name": "A suite"},
            "name: A name is lower-case letters, digits and . _ -, such as my-shop (found 'A suite')",
        ),
    ],
)
def test_a_suite_that_cannot_be_meant_is_one_line(tmp_path, change, words):
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps({"data": "x", **change}))
    with pytest.raises(ConfigError) as error:
        Suite.load(path)
    assert words in str(error.value)
    assert "s.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[1, 2]", "data: [", "", "\x00"])
def test_what_is_no_suite(tmp_path, text):
    path = tmp_path / "My suite.yaml"
    with pytest.raises(ConfigError, match="Cannot read the suite"):
        Suite.load(path)
    path.write_text(text)
    with pytest.raises(ConfigError, match="suite"):
        Suite.load(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*Suite.model_fields, "other"]), values, max_size=5))
def test_whatever_is_written_is_a_suite_or_our_error(content):
    try:
        cells = papers(Suite.parse({"name": "x", "data": "y", **content}))
    except LlmrecError:
        return
    assert all(cell.plans for cell in cells)


def test_a_name_is_made_of_the_file_and_a_change_wins(tmp_path):
    path = tmp_path / "My Suite.yaml"
    path.write_text("data: x\nusers: 50\n")
    assert Suite.load(path).name == "my-suite"
    assert Suite.load(path, {"users": 3}).users == 3


def test_shipped_suites_can_be_meant():
    paths = [p for p in (REPOSITORY / "eval" / "suites").glob("*.yaml") if not p.name.startswith("adapt_")]
    assert {path.stem for path in paths} >= {"zero_shot", "cold_start", "adapters"}
    for path in paths:
        assert papers(Suite.load(path))


def test_one_folder_one_run_a_cell_one_report(data, tmp_path):
    done = run_suite(
        small(
            data,
            negatives=["uniform", "popular"],
            protocols=[{"protocol": "leave-last-out", "history": [1, 3]}],
        ),
        out=tmp_path / "s",
    )
    cells = sorted(str(p.parent.relative_to(tmp_path / "s")) for p in (tmp_path / "s").glob("*/*/rows.jsonl"))
    assert cells[:2] == [
        "001-shop-leave-last-out-uniform-h1/baselines",
        "001-shop-leave-last-out-uniform-h1/fake-overlap",
    ]
    assert len(cells) == 8
    assert len(done.sheets) == 4
    for sheet in done.sheets:
        assert set(sheet.rankers) == {"random", "popularity", "likelihood"}
        assert sheet.more["baseline"] == "popularity"
    written = json.loads((tmp_path / "s" / "report.json").read_text())
    assert [sheet["negatives"] for sheet in written["sheets"]] == ["uniform"] * 2 + ["popular"] * 2
    before = [(tmp_path / "s" / name).read_bytes() for name in FILES]
    report_suite(tmp_path / "s")
    assert [(tmp_path / "s" / name).read_bytes() for name in FILES] == before
    assert str(tmp_path) not in "".join((tmp_path / "s" / name).read_text() for name in FILES)
    against = report_suite(tmp_path / "s", baseline="random")
    assert {t["ranker"] for t in against.sheets[0].more["comparisons"]} == {"popularity", "likelihood"}


def test_another_suite_is_refused(data, tmp_path):
    run_suite(small(data, rankers=["random"]), out=tmp_path / "s")
    with pytest.raises(ConfigError, match="--resume"):
        run_suite(small(data, rankers=["random"]), out=tmp_path / "s")
    with pytest.raises(ConfigError, match="was made with seed 0, now it is 1"):
        run_suite(small(data, rankers=["random"], seed=1), out=tmp_path / "s", resume=True)
    run_suite(small(data, rankers=["random"], prices={"openai:x": 1.0}), out=tmp_path / "s", resume=True)


def test_a_baseline_is_one_of_the_rankers_before_anything_runs(data, tmp_path):
    with pytest.raises(UnknownName, match=r"Unknown baseline 'popularty'\. Did you mean 'popularity'"):
        run_suite(small(data, baseline="popularty"), out=tmp_path / "s")
    assert not (tmp_path / "s").exists()
    several = {"models": ["fake:overlap", "fake:random"], "rankers": ["likelihood"]}
    with pytest.raises(ConfigError, match="such as 'likelihood · fake:overlap'"):
        run_suite(small(data, **several, baseline="likelihood"), out=tmp_path / "s")
    with pytest.raises(UnknownName, match=r"fake:rundom'\. Did you mean 'likelihood · fake:random'"):
        run_suite(small(data, **several, baseline="likelihood · fake:rundom"), out=tmp_path / "s")
    with pytest.raises(UnknownName, match=r"'popularity · fake:overlap'\. Available: popularity"):
        run_suite(small(data, baseline="popularity · fake:overlap"), out=tmp_path / "s")
    assert not (tmp_path / "s").exists()
    done = run_suite(small(data, **several, baseline="likelihood · fake:random"), out=tmp_path / "s")
    assert done.sheets[0].more["baseline"] == "likelihood · fake:random"
    spoken = {"templates": [{}, {"language": "zh"}], "rankers": ["likelihood"], "models": ["fake:overlap"]}
    done = run_suite(small(data, **spoken, baseline="likelihood"), out=tmp_path / "zh")
    assert done.sheets[0].more["baseline"] == "likelihood"


def test_another_baseline_goes_on_with_what_was_run(data, tmp_path):
    run_suite(small(data), out=tmp_path / "s")
    rows = (tmp_path / "s" / "001-shop-leave-last-out-uniform" / "baselines" / "rows.jsonl").read_bytes()
    done = run_suite(small(data, baseline="random"), out=tmp_path / "s", resume=True)
    assert done.sheets[0].more["baseline"] == "random"
    assert report_suite(tmp_path / "s").sheets[0].more["baseline"] == "random"
    again = tmp_path / "s" / "001-shop-leave-last-out-uniform" / "baselines" / "rows.jsonl"
    assert again.read_bytes() == rows


@pytest.mark.parametrize(
    "wrong", [{"models": ["smolm"]}, {"models": ["fake:overlop"]}, {"templates": [{"domain": "hopping"}]}]
)
def test_a_start_that_fails_leaves_the_folder_free(data, tmp_path, wrong):
    with pytest.raises(UnknownName):
        run_suite(small(data, **wrong), out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_the_adapter_of_the_domain_is_checked_before_anything_runs(data, tmp_path):
    adapter(tmp_path / "adapters", data, users=["u1"])
    shopping = {"adapters": ["auto"], "templates": [{"domain": "shopping"}]}
    suite = small(data, users=None, rankers=["encoder"], **shopping)
    with pytest.raises(ConfigError, match="'cups' was trained on 1 of the 14 users"):
        run_suite(suite, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_adapters_stand_beside_their_base(data, tmp_path):
    adapter(tmp_path / "adapters", data)
    suite = small(data, rankers=["popularity", "encoder", "fused"], adapters=[None, "cups"])
    sheet = run_suite(suite, out=tmp_path / "s").sheets[0]
    assert set(sheet.rankers) == {"popularity", "encoder", "fused", "encoder · cups", "fused · cups"}
    assert sheet.costs["encoder · cups"]["computed"] == 8


def test_all_adapters_are_checked_before_anything_runs(data, tmp_path):
    adapter(tmp_path / "adapters", data, "clean")
    adapter(tmp_path / "adapters", data, "dirty", users=["u1", "u2"])
    suite = small(data, users=None, rankers=["encoder"], adapters=["clean", "dirty"])
    with pytest.raises(ConfigError, match="'dirty' was trained on 2 of the 14 users"):
        run_suite(suite, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()
    with pytest.raises(UnknownName):
        run_suite(small(data, rankers=["encoder"], adapters=["nobody"]), out=tmp_path / "s")


@pytest.mark.parametrize(
    "adapters",
    [
        [{"adapter": "cups", "rankers": ["encoder"]}, {"adapter": "cups", "rankers": ["fused"]}],
        [None, {"adapter": None, "rankers": ["bm25"]}],
        ["my/cups", "my cups"],
    ],
)
def test_two_runs_of_one_folder_are_refused_before_anything_runs(data, tmp_path, adapters):
    suite = small(data, rankers=["random", "encoder"], adapters=adapters)
    with pytest.raises(ConfigError, match="two runs would be in one folder"):
        run_suite(suite, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_folder_of_nothing(tmp_path):
    with pytest.raises(DataError, match="no evaluation run"):
        report_suite(tmp_path)
    (tmp_path / "suite.json").write_text('{"name": "x"}')
    with pytest.raises(DataError, match="--resume"):
        report_suite(tmp_path)


def test_which_rankers_use_a_model():
    assert [uses_model(name, "backend") for name in ("embedding", "fused", "encoder", "bm25")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert not uses_model("embedding", "minilm")


def _victim(data, folder, cache):
    """A process that runs the suite, slowly enough to be hit anywhere."""
    os.environ["LLMREC_CACHE"] = cache
    run_suite(small(data, negatives=["uniform", "popular"], users=14), out=Path(folder), resume=True)


def test_killed_anywhere_it_ends_with_the_same_bytes(data, tmp_path):
    """A server that has everything imported forks each victim, so that starting one costs nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    cache = str(tmp_path / "cache")
    whole = context.Process(target=_victim, args=(data, tmp_path / "whole", cache))
    whole.start()
    started = time.monotonic()
    whole.join()
    took = time.monotonic() - started
    expected = {name: (tmp_path / "whole" / name).read_bytes() for name in FILES}
    draw, alive = random.Random(7), 0
    for n in range(20):
        out = tmp_path / f"run-{n % 4}"
        victim = context.Process(target=_victim, args=(data, out, str(tmp_path / f"cache-{n % 4}")))
        victim.start()
        victim.join(timeout=draw.uniform(0, took))
        alive += victim.is_alive()
        os.kill(victim.pid, signal.SIGKILL) if victim.is_alive() else None
        victim.join()
    assert alive >= 5, "nobody was hit"
    for n in range(4):
        last = context.Process(
            target=_victim, args=(data, tmp_path / f"run-{n}", str(tmp_path / f"cache-{n}"))
        )
        last.start()
        last.join()
        assert last.exitcode == 0
        assert {name: (tmp_path / f"run-{n}" / name).read_bytes() for name in FILES} == expected


def test_retrieval_goes_with_full_negatives_alone(data):
    (first, second) = papers(small(data, negatives=["full", "uniform"], retrieve=5))
    assert [paper.plans[0].retrieve for paper in (first, second)] == [5, None]
    with pytest.raises(ConfigError, match="retrieve is for full negatives, and here are uniform alone"):
        small(data, retrieve=5)
