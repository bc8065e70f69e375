"""transformers' Trainer over our lessons: small checkpoints, our own validation, resume after a kill."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.utils.data import SequentialSampler, Subset
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging

from llmrec_prompt.adapt import processes
from llmrec_prompt.adapt.building import autocast
from llmrec_prompt.adapt.network import half
from llmrec_prompt.adapt.recipe import Recipe, Stage
from llmrec_prompt.adapt.runs import Clock
from llmrec_prompt.cache import write_atomically
from llmrec_prompt.progress import track

Evaluate = Callable[[], dict[str, float]]
METRIC = "eval_ndcg@10"
FAST = 10.0
"""Scalars such as the temperature learn so many times faster than matrices."""
STATE, WEIGHTS, LOG = "trainer_state.json", "model.safetensors", "log.jsonl"


def small_state(module: Any) -> dict[str, Any]:
    """What a checkpoint must hold: everything that training changes, and nothing of the frozen base."""
    learnt = {name for name, p in module.named_parameters() if p.requires_grad}
    buffers = {name for name, _ in module.named_buffers() if name.startswith("objectives.")}
    state = module.state_dict()
    return {name: state[name].contiguous() for name in sorted((learnt | buffers) & state.keys())}


class LessonTrainer(Trainer):  # type: ignore[misc]
    """A lesson a step, in order."""

    def __init__(self, *, evaluate: Evaluate | None, **options: Any) -> None:
        super().__init__(**options)
        self._judge = evaluate or dict
        self.control: Any
        self.optimizer: Any

    def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
        return SequentialSampler(self.train_dataset)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Our metrics, logged and told to the callbacks as Trainer does with its own."""
        found = processes.by_first(self._judge)
        metrics = {f"eval_{name}": value for name, value in found.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def create_optimizer(self, *_: Any, **__: Any) -> Any:
        """AdamW; scalars have a learning rate of their own and no decay."""
        if self.optimizer is None:
            learnt = [p for p in self.model.parameters() if p.requires_grad]
            matrices, scalars = [p for p in learnt if p.dim() > 0], [p for p in learnt if p.dim() == 0]
            lr = self.args.learning_rate
            groups = [{"params": matrices, "weight_decay": self.args.weight_decay}]
            if scalars:
                groups.append({"params": scalars, "weight_decay": 0.0, "lr": lr * FAST})
            self.optimizer = torch.optim.AdamW(groups, lr=lr)
        return self.optimizer

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(small_state(self.model), folder / WEIGHTS)


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Moves the progress bar, and keeps the log and the time on disk."""

    def __init__(self, label: str, steps: int, folder: Path) -> None:
        self._bar: Iterator[int] = track(range(steps), label, steps)
        self._done, self._log, self._clock = 0, folder / LOG, Clock(folder)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        while self._done <= state.global_step:
            next(self._bar, None)
            self._done += 1

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._clock.keep()

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        lines = [json.dumps(row, sort_keys=True) + "\n" for row in state.log_history]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._log, "".join(lines))


def arguments(recipe: Recipe, stage: Stage, folder: Path, *, judged: bool = True) -> TrainingArguments:
    """Trainer's settings for a stage; without anybody to judge on, the last weights are kept."""
    every = min(stage.evaluate_every, stage.steps)
    found = TrainingArguments(
        output_dir=str(folder),
        run_name=stage.name,
        max_steps=stage.steps,
        per_device_train_batch_size=1,
        learning_rate=stage.lr,
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(stage.warmup * stage.steps),
        weight_decay=0.01,
        logging_steps=max(1, every // 10),
        eval_strategy="steps" if judged else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=judged,
        metric_for_best_model=METRIC if judged else None,
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,  # how long `patience` has waited
        seed=recipe.seed,
        data_seed=recipe.seed,
        bf16=half(recipe.precision),
        use_cpu=not torch.cuda.is_available(),
        report_to=list(recipe.tracker) or "none",
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        log_level_replica="error",
    )
    # Of several GPUs a process uses its own: Trainer would lay copies of the module on all, and it is none
    # that can be copied so. More processes are what uses more of them.
    found._n_gpu = min(1, found.n_gpu)
    return found


def run(
    module: Any, lessons: Any, evaluate: Evaluate | None, *, recipe: Recipe, stage: Stage, folder: Path
) -> list[Any]:
    """Train a stage, or the rest of it, and leave the best weights in `module`; gives the log's rows.

    Where there is no `evaluate`, those are the last ones, and `patience` has nothing to wait for.

    A kill loses at most what came after the latest checkpoint: the next call goes on from there.
    """
    logging.set_verbosity_error()  # Trainer finds the frozen weights missing in small checkpoints
    watch = _Watch(f"Training {stage.name}", stage.steps, folder)
    callbacks: list[Any] = [watch] if processes.is_first() else []
    if stage.patience is not None and evaluate:
        callbacks.append(EarlyStoppingCallback(stage.patience))
    checkpoint = processes.by_first(lambda: latest_checkpoint(folder))
    settings = arguments(recipe, stage, folder, judged=evaluate is not None)
    if checkpoint and (done := stopped_at(checkpoint)):
        settings.max_steps, lessons = done, Subset(lessons, range(done * processes.count()))
    trainer = LessonTrainer(
        model=module,
        args=settings,
        train_dataset=lessons,
        eval_dataset=[0],
        data_collator=lambda rows: {"lesson": rows[0]},
        callbacks=callbacks,
        evaluate=evaluate and _as_served(evaluate, recipe.precision),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return list(trainer.state.log_history)


def _as_served(evaluate: Evaluate, precision: str) -> Evaluate:
    """In the arithmetic that the adapter is published by; Trainer sets it for steps alone."""

    def judge() -> dict[str, float]:
        with autocast(precision):
            return evaluate()

    return judge


def stopped_at(checkpoint: Path) -> int | None:
    """The step of a checkpoint after which nothing is left to do, because all is done or patience ran out."""
    state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    control = state.get("stateful_callbacks", {}).get("TrainerControl", {}).get("args", {})
    return int(state["global_step"]) if control.get("should_training_stop") else None


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; those that a kill cut off are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    whole = [path for path in found if _is_whole(path)]
    for path in found:
        if path not in whole:
            shutil.rmtree(path)
    return whole[-1] if whole else None


def _is_whole(checkpoint: Path) -> bool:
    """Trainer writes its state last."""
    try:
        json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (checkpoint / WEIGHTS).is_file()
