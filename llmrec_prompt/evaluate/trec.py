"""Runs and judgements in the files that trec_eval, ir-measures and ranx read.

A run line is `user Q0 item rank score tag`. Scores count down from the length of the ranking, so that no tool
puts equal scores into another order than ours; a row keeps the first hundred ranks. Blanks in ids are
percent-encoded, as the format separates by them.
"""

import contextlib
from collections.abc import Iterator
from urllib.parse import quote

from llmrec_prompt.cache import whole_file
from llmrec_prompt.evaluate.run import Row, RunDirectory

SAFE = "!\"#$&'()*+,-./:;<=>?@[]^_`{|}~"


def write_trec(run: RunDirectory) -> None:
    """Write trec/qrels.txt and trec/RANKER.run; rows are read one at a time."""
    folder = run.folder / "trec"
    folder.mkdir(exist_ok=True)
    names = run.manifest["rankers"]
    files = {name: folder / f"{name}.run" for name in names}
    qrels = folder / "qrels.txt"
    with contextlib.ExitStack() as stack:
        partials = {path: stack.enter_context(whole_file(path)) for path in (*files.values(), qrels)}
        handles = {
            path: stack.enter_context(partial.open("w", encoding="utf-8"))
            for path, partial in partials.items()
        }
        for row in run.rows():
            handles[files[row["ranker"]]].writelines(run_lines(row))
            if row["ranker"] == names[0]:
                handles[qrels].writelines(judged(row))


def run_lines(row: Row) -> Iterator[str]:
    r"""The lines of one answer; none of a refusal.

    >>> list(run_lines({"user": "u 1", "ranker": "fused", "ids": ["b", "a"]}))
    ['u%201 Q0 b 1 2 fused\n', 'u%201 Q0 a 2 1 fused\n']
    """
    ids = row.get("ids", [])
    for rank, item_id in enumerate(ids, start=1):
        yield f"{encoded(row['user'])} Q0 {encoded(item_id)} {rank} {len(ids) - rank + 1} {row['ranker']}\n"


def judged(row: Row) -> Iterator[str]:
    """The relevant items of a question."""
    for item_id in row.get("targets", [row["target"]]):
        yield f"{encoded(row['user'])} 0 {encoded(item_id)} 1\n"


def encoded(text: str) -> str:
    """An id without blanks and control characters; letters of any script stay."""
    return "".join(c if c.isalnum() or c in SAFE else quote(c, safe="") for c in text)
