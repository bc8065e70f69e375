"""Hand-worked numbers, properties, and agreement with ir_measures."""

import random
from collections.abc import Callable
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.errors import ConfigError, DataError, UnknownName
from llmrec_prompt.evaluate.metrics import (
    METRICS,
    auc,
    average_precision,
    compute,
    find_metric,
    hit_rate,
    mrr,
    ndcg,
    parse_name,
    precision,
    recall,
)

IDS = ["a", "b", "c", "d", "e"]
CUT = [hit_rate, recall, precision, ndcg, mrr, average_precision]
NAMES = ["hr@3", "ndcg@3", "recall@3", "precision@3", "mrr", "mrr@3", "map", "auc"]


@st.composite
def rankings(draw: st.DrawFn) -> tuple[list[str], set[str]]:
    """A ranking with at least one relevant (perhaps unranked) and one ranked irrelevant id."""
    pool = [f"i{n}" for n in range(draw(st.integers(2, 30)))]
    ids = draw(st.permutations(pool))
    relevant = draw(st.sets(st.sampled_from([*pool[1:], "unranked"]), min_size=1))
    return list(ids), relevant


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (hit_rate(IDS, {"c"}, k=2), 0.0),
        (hit_rate(IDS, {"c"}, k=3), 1.0),
        (recall(IDS, {"b", "e", "z"}, k=4), 1 / 3),
        (recall(IDS, {"b", "e", "z"}), 2 / 3),
        (precision(IDS, {"b", "d"}, k=4), 0.5),
        (precision(IDS, {"b", "d"}), 0.2),  # five ids, ten places
        (ndcg(IDS, {"b"}, k=1), 0.0),
        (ndcg(IDS, {"b"}), 1 / log2(3)),
        (ndcg(IDS, {"b", "d"}), (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3))),
        (ndcg(IDS, {"a", "b", "z"}, k=2), 1.0),  # the ideal is cut at k as well
        (mrr(IDS, {"c", "e"}), 1 / 3),
        (mrr(IDS, {"c", "e"}, k=2), 0.0),
        (mrr(IDS, {"z"}), 0.0),
        (average_precision(IDS, {"b", "d"}), (1 / 2 + 2 / 4) / 2),
        (average_precision(IDS, {"b", "d", "z"}), (1 / 2 + 2 / 4) / 3),
        (average_precision(IDS, {"b", "d"}, k=3), (1 / 2) / 2),
        (auc(IDS, {"a"}), 1.0),
        (auc(IDS, {"e"}), 0.0),
        (auc(IDS, {"b", "d"}), (2 + 1) / 6),
        (auc(IDS, {"a", "z"}), 4 / 8),  # the unranked one loses its four pairs
    ],
)
def test_hand_worked(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, abs=1e-12)


def test_default_cut_is_ten() -> None:
    ids = [str(n) for n in range(20)]
    for metric in (hit_rate, recall, precision, ndcg):
        assert metric(ids, {"9"}) > 0
        assert metric(ids, {"10"}) == 0
    assert mrr(ids, {"19"}) == average_precision(ids, {"19"}) == 1 / 20


def test_a_relevant_list_with_repeats_is_a_set() -> None:
    once = compute(IDS, ["b", "e"], NAMES)
    assert compute(IDS, ["b", "e", "b"], NAMES) == once


def test_an_empty_ranking_scores_zero() -> None:
    assert set(compute([], {"a"}, [n for n in NAMES if n != "auc"]).values()) == {0.0}


@given(rankings(), st.integers(1, 40))
def test_values_lie_between_zero_and_one(case: tuple[list[str], set[str]], k: int) -> None:
    values = [metric(*case, k=k) for metric in CUT] + [auc(*case)]
    assert all(0.0 <= value <= 1.0 for value in values)
    assert all(isinstance(value, float) for value in values)


@given(rankings(), st.integers(1, 40))
def test_hit_rate_and_recall_grow_with_k(case: tuple[list[str], set[str]], k: int) -> None:
    assert hit_rate(*case, k=k) <= hit_rate(*case, k=k + 1)
    assert recall(*case, k=k) <= recall(*case, k=k + 1)


@given(rankings(), st.integers(1, 40))
def test_a_perfect_ranking_scores_one(case: tuple[list[str], set[str]], k: int) -> None:
    ids, relevant = case
    perfect = sorted(relevant) + [i for i in ids if i not in relevant]
    assert hit_rate(perfect, relevant, k=k) == ndcg(perfect, relevant, k=k) == mrr(perfect, relevant) == 1
    assert average_precision(perfect, relevant) == auc(perfect, relevant) == 1
    assert recall(perfect, relevant, k=len(relevant)) == precision(perfect, relevant, k=len(relevant)) == 1


@given(rankings(), st.integers(1, 40), st.randoms(use_true_random=False))
def test_order_below_the_cut_does_not_matter(
    case: tuple[list[str], set[str]], k: int, rng: random.Random
) -> None:
    ids, relevant = case
    below = ids[k:]
    rng.shuffle(below)
    for metric in CUT:
        assert metric(ids[:k] + below, relevant, k=k) == metric(ids, relevant, k=k)


@given(rankings())
def test_reversing_the_ranking_mirrors_auc(case: tuple[list[str], set[str]]) -> None:
    ids, relevant = case
    ranked = relevant & set(ids) or {ids[0]}
    assert auc(ids, ranked) + auc(ids[::-1], ranked) == pytest.approx(1)


@given(rankings())
def test_auc_counts_pairs(case: tuple[list[str], set[str]]) -> None:
    ids, relevant = case
    place = {item_id: rank for rank, item_id in enumerate(ids)}
    pairs = [(i, j) for i in relevant for j in ids if j not in relevant]
    won = sum(place.get(i, len(ids)) < place[j] for i, j in pairs)
    assert auc(ids, relevant) == pytest.approx(won / len(pairs))


@pytest.mark.parametrize("metric", [*CUT, auc])
def test_bad_ids_are_refused(metric: Callable[..., float]) -> None:
    with pytest.raises(DataError, match="No relevant id"):
        metric(IDS, set())
    with pytest.raises(DataError, match="'b' is ranked 2 times"):
        metric(["a", "b", "c", "b"], {"a"})
    with pytest.raises(DataError, match="as one string"):
        metric(IDS, "abc")
    with pytest.raises(DataError, match="as one string"):
        metric("abc", {"a"})


@pytest.mark.parametrize("k", [0, -1])
@pytest.mark.parametrize("metric", CUT)
def test_a_cut_below_one_is_refused(metric: Callable[..., float], k: int) -> None:
    with pytest.raises(ConfigError, match=f"k={k} is below 1"):
        metric(IDS, {"a"}, k=k)


def test_auc_without_an_irrelevant_id_is_refused() -> None:
    with pytest.raises(DataError, match="all 2 ranked ids are relevant"):
        auc(["a", "b"], {"a", "b"})


def test_metrics_has_exactly_the_reported_names() -> None:
    assert list(METRICS) == ["hr@1", "hr@5", "hr@10", "ndcg@10", "mrr"]
    ids = [str(n) for n in range(12)]
    values = {name: metric(ids, {"4", "11"}) for name, metric in METRICS.items()}
    assert values == compute(ids, {"4", "11"}, METRICS)
    assert (values["hr@1"], values["hr@5"], values["mrr"]) == (0.0, 1.0, 0.2)


def test_compute_calls_the_metric_it_names() -> None:
    relevant = {"b", "d"}
    assert compute(IDS, relevant, NAMES) == {
        "hr@3": hit_rate(IDS, relevant, k=3),
        "ndcg@3": ndcg(IDS, relevant, k=3),
        "recall@3": recall(IDS, relevant, k=3),
        "precision@3": precision(IDS, relevant, k=3),
        "mrr": mrr(IDS, relevant),
        "mrr@3": mrr(IDS, relevant, k=3),
        "map": average_precision(IDS, relevant),
        "auc": auc(IDS, relevant),
    }


@pytest.mark.parametrize(
    "name",
    ["", "hr", "hr@", "hr@x", "hr@-1", "hr@1.5", "hr@²", "hr@ 1", "HR@10", "map@5", "auc@5", "mrr@", "@5"],
)
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(UnknownName, match=r"Unknown metric .*hr@K.*ndcg@K"):
        compute(IDS, {"a"}, [name])


def test_a_named_cut_below_one_is_refused_before_it_is_used() -> None:
    with pytest.raises(ConfigError, match="k=0 is below 1"):
        find_metric("hr@0")


def test_parse_name() -> None:
    assert [parse_name(name) for name in ("mrr", "mrr@5", "map")] == [
        ("mrr", None),
        ("mrr", 5),
        ("map", None),
    ]


def test_agrees_with_ir_measures() -> None:
    ir_measures = pytest.importorskip("ir_measures")
    rng = random.Random(0)
    runs, wanted = {}, {}
    for q in range(1000):
        pool = [f"i{n}" for n in range(rng.randint(1, 60))]
        runs[f"q{q}"] = rng.sample(pool, rng.randint(1, len(pool)))
        wanted[f"q{q}"] = set(rng.sample(pool, rng.randint(1, min(12, len(pool)))))
    oracle = {
        "nDCG@10": ndcg,
        "Success@5": lambda i, r: hit_rate(i, r, k=5),
        "RR": mrr,
        "RR@5": lambda i, r: mrr(i, r, k=5),
        "AP": average_precision,
        "AP@5": lambda i, r: average_precision(i, r, k=5),
        "P@5": lambda i, r: precision(i, r, k=5),
        "R@10": recall,
    }
    # Ties are broken by id over there, so scores fall strictly.
    scored = {q: {i: float(-rank) for rank, i in enumerate(ids)} for q, ids in runs.items()}
    judged = {q: dict.fromkeys(relevant, 1) for q, relevant in wanted.items()}
    measures = [ir_measures.parse_measure(name) for name in oracle]
    theirs = list(ir_measures.iter_calc(measures, judged, scored))
    assert len(theirs) == 1000 * len(oracle)
    for line in theirs:
        ours = oracle[str(line.measure)](runs[line.query_id], wanted[line.query_id])
        assert ours == pytest.approx(line.value, abs=1e-9), (line, runs[line.query_id])
