"""Hand-written rankers, backends and data sets for the tests of the ranking modes."""

import hashlib

import numpy as np

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Usage
from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.data import Cleaning, Dataset
from llmrec_prompt.errors import ContextOverflow
from llmrec_prompt.templates import Domain, Prompter
from llmrec_prompt.types import Interaction, Item, Scored

NAMES = "abcdefghijklmnopqrstuvwxyz"


def prompter(**fields) -> Prompter:
    return Prompter(Domain(**{"name": "shop", "noun": "thing", "nouns": "things", "verb": "saw", **fields}))


def items(names) -> list[Item]:
    return [Item(item_id=name, title=name.upper()) for name in names]


def dataset(names, logs="", *, liked_from=None) -> Dataset:
    """`user item item*` per line of logs; with `liked_from`, an item with a star was rated 5, without 1."""
    rows = []
    for line in logs.strip().splitlines():
        user, *seen = line.split()
        for time, name in enumerate(seen):
            rating = None if liked_from is None else 5.0 if name.endswith("*") else 1.0
            rows.append(Interaction(user, name.rstrip("*"), rating, float(time)))
    cleaning = Cleaning(preference="none" if liked_from is None else liked_from)
    return Dataset.from_rows(items(names), rows, cleaning=cleaning)


def chains(users=30, liked=4) -> Dataset:
    """Everybody goes through the alphabet: what was liked together says all, what is popular nothing."""
    walks = [[NAMES[(user + step) % len(NAMES)] for step in range(liked)] for user in range(users)]
    return dataset(NAMES, "\n".join(" ".join([f"u{user}", *walk]) for user, walk in enumerate(walks)))


class Toy:
    """A ranker whose scores are a function of history and candidate ids."""

    def __init__(self, function, *, name="toy", **scored):
        self.function, self.name, self.scored = function, name, scored
        self.prepared, self.origin = [], {}

    def score(self, history, candidates):
        seen = [item.item_id for item in history]
        values = np.array([self.function(seen, item.item_id) for item in candidates], np.float64)
        return Scored(**{"parts": {self.name: values}, "weights": {self.name: 1.0}, **self.scored})

    def prepare(self, candidates):
        self.prepared.append([item.item_id for item in candidates])


class PaidToy(Toy):
    """A toy that says it evaluates ten tokens a candidate and reuses one."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.usage = Usage(1000, 1000)

    def score(self, history, candidates):
        self.usage.evaluated += 10 * len(candidates)
        self.usage.reused += 1
        return super().score(history, candidates)


def table(values, **more) -> Toy:
    """A toy with fixed scores."""
    return Toy(lambda seen, name: values[name], **more)


class Counted:
    """A fake model and the (prompt, continuation) pairs it was asked for."""

    def __init__(self, function, **options):
        self.asked: list[tuple[str, str]] = []
        self.function = function
        self.backend = FakeBackend(self._score, **options)

    def _score(self, prompt, text):
        self.asked.append((prompt, text))
        return self.function(prompt, text)

    def take(self):
        asked, self.asked = self.asked, []
        return asked


def card(name="shop-adapter", **fields) -> Card:
    """The card of an adapter for `fake:function`, whose prompts are those of `prompter()`."""
    base = {"ref": "fake:function", "hash": FakeBackend(lambda p, t: 0.0).info.hash}
    known = {"domain": "shop", "objective": "encode", "mode": "encoder", "base": base}
    known |= {
        "templates": {"shop": prompter().fingerprint},
        "lora": {"r": 1, "alpha": 1.0, "targets": ["q_proj"]},
    }
    return Card(**{"name": name, "history": 2, "scale": 8.0, **known, **fields})


def adapter_folder(place, **fields) -> str:
    """A folder that has a card and weights of its own, as far as a fake model cares."""
    made = card(**fields)
    folder = place / made.name
    folder.mkdir(parents=True)
    made.save(folder)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_text(made.name)
    return str(folder)


class States(FakeBackend):
    """A fake whose states depend on the adapter in force; remembers what was embedded under which."""

    def __init__(self, **options):
        super().__init__(self._likelihood, **options)
        self.asked: list[tuple[str | None, str]] = []
        self.switches = 0

    def _likelihood(self, prompt, text):
        return -self._dice(prompt, text).random()

    def _dice(self, *parts):
        digest = hashlib.sha256("\0".join([self.adapter or "", *parts]).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))

    def embed(self, texts):
        for text in texts:
            if self.count_tokens(text) > self.info.context:
                raise ContextOverflow(self.count_tokens(text), self.info.context)
        self.asked += [(self.adapter, text) for text in texts]
        self.usage.evaluated += sum(map(self.count_tokens, texts))
        vectors, size = super().embed(texts), self.info.dimensions
        return vectors if self.adapter is None else vectors @ self._dice().random((size, size), np.float32)

    def use(self, adapter):
        self.switches += 1
        super().use(adapter)

    def take(self):
        asked, self.asked = [text for _, text in self.asked], []
        return asked
