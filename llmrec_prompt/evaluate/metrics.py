"""Ranking metrics with binary relevance, for one user at a time.

Every metric takes `ids`, ranked best first, and the `relevant` ids, and returns a float from 0 to 1. A
relevant id that was not ranked counts as missed. Knows nothing about users, scores, models or data sets:
average over users with `llmrec_prompt.evaluate.statistics`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from math import log2

from llmrec_prompt.errors import ConfigError, DataError, UnknownName

Metric = Callable[[Sequence[str], Collection[str]], float]
"""What `find_metric` returns: (ids ranked best first, relevant ids) -> value."""


def hit_rate(ids: Sequence[str], relevant: Collection[str], *, k: int = 10) -> float:
    """Return 1.0 if any of the first k ids is relevant, else 0.0.

    HR@k = [some rank r <= k holds a relevant id], also known as Success@k.
    Source: Deshpande and Karypis, "Item-based top-N recommendation algorithms", TOIS 2004.

    Raises:
        ConfigError: `k` is below 1.
        DataError: `relevant` is empty, or an id is ranked twice.

    Example:
        >>> hit_rate(["a", "b", "c"], {"b"}, k=1), hit_rate(["a", "b", "c"], {"b"}, k=2)
        (0.0, 1.0)
    """
    return float(bool(_relevant_ranks(ids, relevant, k)))


def recall(ids: Sequence[str], relevant: Collection[str], *, k: int = 10) -> float:
    """Return the share of the relevant ids that is among the first k.

    Recall@k = |top k and relevant| / |relevant|; below 1 even for a perfect ranking when k < |relevant|.
    Source: van Rijsbergen, "Information Retrieval", 1979, chapter 7.

    Raises:
        ConfigError: `k` is below 1.
        DataError: `relevant` is empty, or an id is ranked twice.

    Example:
        >>> recall(["a", "b", "c"], {"a", "c"}, k=2)
        0.5
    """
    return len(_relevant_ranks(ids, relevant, k)) / len(set(relevant))


def precision(ids: Sequence[str], relevant: Collection[str], *, k: int = 10) -> float:
    """Return the share of the first k places that hold a relevant id.

    Precision@k = |top k and relevant| / k; a ranking shorter than k is still divided by k, as in trec_eval.
    Source: van Rijsbergen, "Information Retrieval", 1979, chapter 7.

    Raises:
        ConfigError: `k` is below 1.
        DataError: `relevant` is empty, or an id is ranked twice.

    Example:
        >>> precision(["a", "b", "c"], {"a"}, k=2)
        0.5
    """
    return len(_relevant_ranks(ids, relevant, k)) / k


def ndcg(ids: Sequence[str], relevant: Collection[str], *, k: int = 10) -> float:
    """Return the discounted gain of the first k ids over the best one possible.

    nDCG@k = DCG@k / IDCG@k, DCG@k = sum over relevant ranks r <= k of 1 / log2(r + 1), and IDCG@k is the DCG
    of min(k, |relevant|) relevant ids on top.
    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002, with the
    log2(r + 1) discount of Burges et al., "Learning to rank using gradient descent", ICML 2005.

    Raises:
        ConfigError: `k` is below 1.
        DataError: `relevant` is empty, or an id is ranked twice.

    Example:
        >>> round(ndcg(["a", "b", "c"], {"b"}, k=10), 4)
        0.6309
    """
    gained = _discounted(_relevant_ranks(ids, relevant, k))
    return gained / _discounted(range(1, min(k, len(set(relevant))) + 1))


def mrr(ids: Sequence[str], relevant: Collection[str], *, k: int | None = None) -> float:
    """Return one over the rank of the first relevant id, or 0.0 if there is none (in the first k).

    RR = 1 / min(rank of a relevant id); its mean over users is the MRR.
    Source: Voorhees, "The TREC-8 question answering track report", TREC 1999.

    Raises:
        ConfigError: `k` is given and below 1.
        DataError: `relevant` is empty, or an id is ranked twice.

    Example:
        >>> mrr(["a", "b", "c"], {"b", "c"}), mrr(["a", "b", "c"], {"b"}, k=1)
        (0.5, 0.0)
    """
    ranks = _relevant_ranks(ids, relevant, k)
    return 1 / ranks[0] if ranks else 0.0


def average_precision(ids: Sequence[str], relevant: Collection[str], *, k: int | None = None) -> float:
    """Return the mean, over the relevant ids, of the precision at the rank of each.

    AP = (sum over relevant ranks r of Precision@r) / |relevant|. With `k` only ranks r <= k are summed but
    the divisor stays |relevant| (as in trec_eval), so a cut below |relevant| cannot reach 1.
    Source: Buckley and Voorhees, "Evaluating evaluation measure stability", SIGIR 2000.

    Raises:
        ConfigError: `k` is given and below 1.
        DataError: `relevant` is empty, or an id is ranked twice.

    Example:
        >>> average_precision(["a", "b", "c", "d"], {"a", "d"})
        0.75
    """
    ranks = _relevant_ranks(ids, relevant, k)
    return sum(found / rank for found, rank in enumerate(ranks, 1)) / len(set(relevant))


def auc(ids: Sequence[str], relevant: Collection[str]) -> float:
    """Return the share of (relevant, irrelevant) pairs in which the relevant id is ranked higher.

    AUC = |{(i, j): rank(i) < rank(j)}| / (|relevant| * |irrelevant|), with i relevant and j ranked and
    irrelevant. A relevant id that was not ranked loses all its pairs.
    Source: Hanley and McNeil, Radiology 1982; per user in Rendle et al., "BPR", UAI 2009.

    Raises:
        DataError: `relevant` is empty, an id is ranked twice, or no irrelevant id is ranked.

    Example:
        >>> auc(["a", "b", "c"], {"b"})
        0.5
    """
    ranks = _relevant_ranks(ids, relevant)
    irrelevant = len(ids) - len(ranks)
    if irrelevant == 0:
        raise DataError(f"AUC needs an irrelevant id in the ranking; all {len(ids)} ranked ids are relevant.")
    # Above the i-th relevant id stand rank - 1 ids, i - 1 of them relevant.
    won = sum(irrelevant - (rank - found) for found, rank in enumerate(ranks, 1))
    return won / (len(set(relevant)) * irrelevant)


def compute(ids: Sequence[str], relevant: Collection[str], names: Iterable[str]) -> dict[str, float]:
    """Return the value of each named metric, in the order of `names`; formulas and sources are theirs.

    Raises:
        UnknownName: a name is none of hr@K, ndcg@K, recall@K, precision@K, mrr, mrr@K, map, auc.
        ConfigError: a K is below 1.
        DataError: `relevant` is empty, an id is ranked twice, or AUC finds no irrelevant id.

    Example:
        >>> compute(["a", "b", "c"], {"b"}, ["hr@1", "recall@2", "mrr"])
        {'hr@1': 0.0, 'recall@2': 1.0, 'mrr': 0.5}
    """
    return {name: find_metric(name)(ids, relevant) for name in names}


def find_metric(name: str) -> Metric:
    """Return the function behind a name such as 'ndcg@10' or 'mrr'.

    Raises:
        UnknownName: `name` is none of hr@K, ndcg@K, recall@K, precision@K, mrr, mrr@K, map, auc.
        ConfigError: K is below 1.

    Example:
        >>> find_metric("hr@2")(["a", "b", "c"], {"b"})
        1.0
    """
    stem, k = parse_name(name)
    return _UNCUT[stem] if k is None else partial(_CUT[stem], k=k)


def parse_name(name: str) -> tuple[str, int | None]:
    """Split a metric name into its stem and its cut, None where it has no cut.

    Raises:
        UnknownName: `name` is none of hr@K, ndcg@K, recall@K, precision@K, mrr, mrr@K, map, auc.
        ConfigError: K is below 1.

    Example:
        >>> parse_name("ndcg@10"), parse_name("mrr")
        (('ndcg', 10), ('mrr', None))
    """
    stem, at, cut = name.partition("@")
    if not at and stem in _UNCUT:
        return stem, None
    # isdigit alone would let through digits such as '²', which int() refuses.
    if stem in _CUT and cut.isascii() and cut.isdigit():
        _check_cut(int(cut))
        return stem, int(cut)
    raise UnknownName("metric", name, [*(f"{known}@K" for known in _CUT), *_UNCUT])


def _relevant_ranks(ids: Sequence[str], relevant: Collection[str], k: int | None = None) -> list[int]:
    """Return the ranks, from 1, of the relevant ids among the first k, after checking the arguments."""
    _check_cut(k)
    # A string is a collection of strings too: one id instead of a set of ids would be read by letters.
    if isinstance(ids, str) or isinstance(relevant, str):
        raise DataError("Ids came as one string; give a list of ids and a set of relevant ids.")
    if len(relevant) == 0:
        raise DataError("No relevant id is given, so no metric is defined; leave this user out.")
    if len(set(ids)) != len(ids):
        twice, times = Counter(ids).most_common(1)[0]
        raise DataError(f"Item {twice!r} is ranked {times} times; rank every item once.")
    wanted = set(relevant)
    return [rank for rank, item_id in enumerate(ids[:k], 1) if item_id in wanted]


def _check_cut(k: int | None) -> None:
    if k is not None and k < 1:
        raise ConfigError(f"Cut k={k!r} is below 1; give the number of top ranks to look at.")


def _discounted(ranks: Iterable[int]) -> float:
    return sum(1 / log2(rank + 1) for rank in ranks)


_CUT: dict[str, Callable[..., float]] = {
    "hr": hit_rate,
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "mrr": mrr,
}
_UNCUT: dict[str, Metric] = {"mrr": mrr, "map": average_precision, "auc": auc}

METRICS: dict[str, Metric] = {name: find_metric(name) for name in ("hr@1", "hr@5", "hr@10", "ndcg@10", "mrr")}
"""The metrics reported when nothing else is asked for."""
