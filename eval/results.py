"""Write docs/results.md from suites that were run.

    export LLMREC_PRECISION=bf16
    for suite in cold_domain zero_shot cold_start adapters catalogue; do
      llmrec eval run eval/suites/$suite.yaml --set 'models=[hf:smollm2]' --resume
    done
    python eval/results.py runs/cold-domain runs/zero-shot runs/cold-start runs/adapters runs/catalogue

The packaged `smollm2` (llama.cpp) takes some three times as long on a CPU that multiplies bfloat16; how far
engines agree is in docs/backends.md. The networks of adapters.yaml (`sasrec`, `lstm`) take an hour to fit on
two cores, once: they are kept in the cache. The sections `adapters` and `cold-domain` were last run in single
precision, on a CPU without bfloat16 (a good hour and a half, and an hour, on two cores). `zero-shot` took
half an hour and `catalogue` 15 minutes on one core with bfloat16.

A call renews the sections of the suites it is given and leaves the others as they are. Every number in
docs/results.md is read from the rows of those runs; their report.html shows more.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from llmrec_prompt.cache import write_atomically
from llmrec_prompt.evaluate import Report
from llmrec_prompt.evaluate.reports.curves import MAIN_METRIC
from llmrec_prompt.evaluate.reports.text import about, leaderboard, title, variant
from llmrec_prompt.evaluate.suite_run import SuiteReport, report_suite

HEAD = """# Results

Written by `python eval/results.py FOLDERS` from the rows of suites; the head of that script says how to run
them. SASRec and LSTM fitted on the very users of an adapter are in
[results-adaptation.md](results-adaptation.md).

What a user did next is hidden among other items and ranked. `uniform` negatives are drawn evenly from what
the user has not consumed, `popular` ones by popularity, so that there popularity itself is worth nothing.
Scorers are fitted on logs without any hidden item. Means over the users that a ranker answered, in brackets
the 95 % bootstrap interval; a ranker that refuses (a language model without a history) is counted, not
scored. Sampled metrics compare rankers on the same candidates and are not quality over the whole catalogue
(Krichene and Rendle, 2020). How protocols, metrics and tests are defined: [evaluation.md](evaluation.md).
Section `adapters` was run when `fused` under an adapter weighed encoder, embedding and co-occurrence alike;
with today's weights it is in [results-adaptation.md](results-adaptation.md).
"""


def main() -> None:
    """Read the suites, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="+", type=Path, help="folders of suites that were run")
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    given = parser.parse_args()
    found = sections(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    for suite in map(report_suite, given.suites):
        found[suite.name] = "\n".join(section(suite))
    write_atomically(given.out, "\n".join([HEAD, *found.values()]))
    print(f"Written to {given.out}: {', '.join(found)}")


def sections(page: str) -> dict[str, str]:
    """What the page says of each suite, by its name."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0].removeprefix("## "): part.rstrip("\n") + "\n" for part in parts}


def section(suite: SuiteReport) -> Iterator[str]:
    """One suite: all exams at a glance, then each of them."""
    yield f"## {suite.name}\n"
    yield from [*overview(suite.sheets), ""]
    for sheet in suite.sheets:
        yield from [f"### {title(sheet)}\n", f"{about(sheet)}\n", *leaderboard(sheet), ""]
        yield from remarks(sheet)


def overview(sheets: Sequence[Report]) -> Iterator[str]:
    """The main metric of every ranker in every exam; the best of each in bold."""
    names = dict.fromkeys(name for sheet in sheets for name in sheet.rankers)
    yield f"{MAIN_METRIC.upper()} at a glance:\n"
    yield f"| exam | {' | '.join(names)} |"
    yield "|---" * (len(names) + 1) + "|"
    for sheet in sheets:
        best = next(iter(sheet.rankers), None)
        cells = [cell(sheet, name, name == best) for name in names]
        yield f"| {sheet.facts['data']}: {variant(sheet)} | {' | '.join(cells)} |"


def cell(sheet: Report, name: str, best: bool) -> str:
    """A mean, or a dash for who was not asked or refused all."""
    if name not in sheet.rankers:
        return "–"
    mean = f"{sheet.rankers[name][MAIN_METRIC]['mean']:.3f}"
    return f"**{mean}**" if best else mean


def remarks(sheet: Report) -> Iterator[str]:
    """Whether the winner is one, who differs from the baseline, and every counted event."""
    if sheet.more["headline"]:
        yield f"{sheet.more['headline']}\n"
    tests = [t for t in sheet.more["comparisons"] if t["metric"] == MAIN_METRIC]
    for call in ("better", "worse", "too close to call"):
        names = [f"`{t['ranker']}`" for t in tests if t["call"] == call]
        if names:
            yield f"Against `{sheet.more['baseline']}` {call}: {', '.join(names)}.\n"
    events = [
        f"`{name}`: " + ", ".join(f"{event} {count}" for event, count in found.items())
        for name, found in sheet.events.items()
        if found
    ]
    if events:
        yield f"Events: {'; '.join(events)}.\n"


if __name__ == "__main__":
    main()
