"""How the sequence networks are trained, whatever is inside them: next-item softmax with early stopping."""

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from llmrec_prompt.progress import track
from llmrec_prompt.scorers.sequences import NO_TARGET, Rows, Sequences, cut, pad

QUESTIONS = 10
"""Validation asks for each of a user's last ten items: the last one alone is too noisy to stop by."""
CUTOFF = 10
MASKED = -1e9


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train. Defaults were chosen on validation users of three data sets (`eval/bench/networks.py`).

    `length`: history items a network sees. `batch`: windows a step. `negatives`: items drawn for the softmax
    beside the batch's own. A round, after which it validates, is as many epochs as make `steps` steps:
    counted in epochs, small logs would run out of patience before anything is learnt. `rounds`: at most so
    many. `patience`: rounds without a better NDCG@10 before it stops. `validation`: share of users for that.
    """

    length: int = 50
    batch: int = 32
    negatives: int = 2048
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    steps: int = 50
    rounds: int = 100
    patience: int = 10
    validation: float = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """The epoch whose weights were kept, epochs run, NDCG@10 on validation users (NaN if there were none)."""

    epochs: int
    epochs_run: int
    ndcg: float


class NextItemNetwork(nn.Module):  # type: ignore[misc]
    """Item embeddings that both read a history and answer it (tied), and a bias per item.

    logit(item | history) = state(history) . embedding(item) + bias(item). The bias begins at the item's
    log share of the logs, so that training starts from popularity and the embeddings need not learn it.
    Row v of the embeddings is the begin of every history.
    """

    def __init__(self, counts: Rows, dimensions: int) -> None:
        super().__init__()
        self.vocabulary, self.dimensions = len(counts), dimensions
        self.items = self.table(len(counts) + 1)
        smoothed = torch.as_tensor(counts, dtype=torch.float32) + 0.5
        self.bias = nn.Parameter(torch.log(smoothed / smoothed.sum()))

    def table(self, rows: int) -> Any:
        """A new embedding table; small at first, as `embed` scales it up."""
        table = nn.Embedding(rows, self.dimensions)
        nn.init.normal_(table.weight, std=0.02)
        return table

    def embed(self, table: Any, inputs: Any) -> Any:
        """Rows of a table times sqrt(dimensions) (Vaswani et al. 2017), as SASRec's authors do."""
        return table(inputs) * math.sqrt(self.dimensions)

    def forward(self, inputs: Any) -> Any:
        """States (batch, positions, dimensions) of inputs (batch, positions); none sees what comes later."""
        raise NotImplementedError

    def logits(self, states: Any, items: Any = None) -> Any:
        """Logits (..., v) of states (..., dimensions), or of some items only, (..., items)."""
        if items is None:
            return states @ self.items.weight[: self.vocabulary].T + self.bias
        return states @ functional.embedding(items, self.items.weight).T + self.bias[items]


def train(network: NextItemNetwork, sequences: Sequences, plan: Plan, *, seed: int, label: str) -> Outcome:
    """Train in place and restore the best epoch's weights; the same for the same seed on one CPU.

    Every position of every history is a question. AdamW (Loshchilov and Hutter 2019), on a GPU where there
    is one. Without validation users it trains for `patience` rounds. The global random state is left alone.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    with seeded(seed):
        outcome = _train(network, sequences, plan, seed, label)
    network.to("cpu").eval()
    return outcome


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers from a seed inside the block, and as if nothing had been drawn after it."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _train(network: NextItemNetwork, sequences: Sequences, plan: Plan, seed: int, label: str) -> Outcome:
    optimizer, rng = _optimizer(network, plan), np.random.default_rng(seed)
    epochs = _epochs_a_round(sequences.trained, plan)
    if not sequences.validation:
        for _ in track(range(plan.patience), label, plan.patience):
            _round(network, sequences.trained, plan, optimizer, rng)
        return Outcome(plan.patience * epochs, plan.patience * epochs, float("nan"))
    best, kept, run, weights = -1.0, 0, 0, None
    for number in track(range(1, plan.rounds + 1), label, plan.rounds):
        if number - kept > plan.patience:
            continue  # stopped; what is left of the progress bar runs out
        _round(network, sequences.trained, plan, optimizer, rng)
        run, value = number, validation_ndcg(network, sequences.validation, plan)
        if value > best:
            best, kept, weights = value, number, copy.deepcopy(network.state_dict())
    if weights is not None:
        network.load_state_dict(weights)
    return Outcome(kept * epochs, run * epochs, best)


def _optimizer(network: NextItemNetwork, plan: Plan) -> Any:
    tables = [weight for weight in network.parameters() if weight.dim() > 1]
    others = [weight for weight in network.parameters() if weight.dim() <= 1]  # biases and norms do not decay
    groups = [{"params": tables, "weight_decay": plan.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.learning_rate)


def _epochs_a_round(histories: Sequence[Rows], plan: Plan) -> int:
    windows = sum(math.ceil(len(history) / (plan.length + 1)) for history in histories)
    return math.ceil(plan.steps / math.ceil(windows / plan.batch))


def _round(network: NextItemNetwork, histories: Sequence[Rows], plan: Plan, optimizer: Any, rng: Any) -> None:
    network.train()
    epochs = range(_epochs_a_round(histories, plan))
    batches = (batch for _ in epochs for batch in _batches(histories, network.vocabulary, plan, rng))
    for batch in batches:
        inputs, targets = (part.to(network.bias.device) for part in batch)
        asked = targets != NO_TARGET
        loss = next_item_loss(network, network(inputs)[asked], targets[asked], plan.negatives)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _batches(
    histories: Sequence[Rows], begin: int, plan: Plan, rng: np.random.Generator
) -> Iterator[tuple[Any, Any]]:
    windows = [window for history in histories for window in cut(history, plan.length, rng)]
    order = rng.permutation(len(windows))
    for at in range(0, len(order), plan.batch):
        inputs, targets = pad([windows[i] for i in order[at : at + plan.batch]], begin)
        yield torch.from_numpy(inputs), torch.from_numpy(targets)


def next_item_loss(network: NextItemNetwork, states: Any, targets: Any, negatives: int) -> Any:
    """Mean cross entropy of targets (n,) given states (n, dimensions), over the whole vocabulary.

    SASRec's binary loss with one negative is what makes it lose to BERT4Rec; with cross entropy it wins
    (Klenitskiy and Vasilev 2023). Large vocabularies are estimated: the batch's targets count as they are,
    `negatives` others, drawn evenly, stand for all the rest (importance-weighted, Bengio and Senecal 2003).
    """
    present, places = torch.unique(targets, return_inverse=True)
    others = network.vocabulary - len(present)
    if others <= negatives:
        return functional.cross_entropy(network.logits(states), targets)
    rest = torch.ones(network.vocabulary, dtype=torch.bool, device=targets.device)
    rest[present] = False
    rest = rest.nonzero()[:, 0]
    drawn = rest[torch.randperm(others, device=targets.device)[:negatives]]
    logits = network.logits(states, torch.cat([present, drawn]))
    weight = torch.zeros(logits.shape[1], device=targets.device)
    weight[len(present) :] = math.log(others / negatives)
    return functional.cross_entropy(logits + weight, places)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def validation_ndcg(network: NextItemNetwork, histories: Sequence[Rows], plan: Plan) -> float:
    """Mean NDCG@10 over users, whole vocabulary, of each of the user's last ten items given what came before.

    Items the user had before are not ranked. A user with n items is asked for n - 1 of them at most.
    """
    network.eval()
    values = []
    for at in range(0, len(histories), plan.batch):
        part = histories[at : at + plan.batch]
        inputs, _ = pad([history[-plan.length - 1 :] for history in part], network.vocabulary)
        states = network(torch.from_numpy(inputs).to(network.bias.device))
        values += [_user_ndcg(network, row, history, plan) for row, history in zip(states, part, strict=True)]
    return float(np.mean(values))


def _user_ndcg(network: NextItemNetwork, states: Any, history: Rows, plan: Plan) -> float:
    window = min(len(history), plan.length + 1)
    count = min(QUESTIONS, window - 1)
    logits = network.logits(states[window - count : window])
    own = logits[torch.arange(count), torch.from_numpy(history[-count:])]
    for question in range(count):
        logits[question, torch.from_numpy(history[: len(history) - count + question])] = MASKED
    ranks = 1 + (logits > own[:, None]).sum(1)
    gains = torch.where(ranks <= CUTOFF, 1 / torch.log2(1.0 + ranks), 0.0)
    return float(gains.mean())
