"""The methods of a comparison: each is fitted on the shots of a target and sees nothing of a test user."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmrec_prompt.adapt.compare.setting import Contestant, Setting, under
from llmrec_prompt.adapt.compare.suite import Suite
from llmrec_prompt.adapt.compose import Mixture, compose, plain_weights
from llmrec_prompt.adapt.recipe import Lora, Recipe, Source, Stage
from llmrec_prompt.adapters import Adapter


def _anything(setting: Setting) -> bool:
    return True


def _shots(setting: Setting) -> bool:
    return bool(setting.population.users)


def _shots_or_parts(setting: Setting) -> bool:
    """Without shots two adapters make a mixture."""
    return _shots(setting) or len(setting.parts) > 1


@dataclass(frozen=True, slots=True)
class Method:
    """How a method is fitted, and what it needs. `flat`: it is the same for any number of shots."""

    fit: Callable[[Setting], Contestant]
    possible: Callable[[Setting], bool] = _anything
    flat: bool = False


def _plain(mode: str) -> Callable[[Setting], Contestant]:
    """A mode that needs no adapter."""
    return lambda setting: Contestant(lambda task: setting.rankers(None, task).ranker(mode))


def _scorer(name: str) -> Callable[[Setting], Contestant]:
    """A scorer, fitted once for both kinds of negatives."""

    def fit(setting: Setting) -> Contestant:
        ranker = setting.rankers(None, "catalogue").ranker(name)
        return Contestant(lambda task: ranker)

    return fit


def trained(setting: Setting, name: str, *, start: Adapter | None = None, **changes: Any) -> Contestant:
    """Train one stage, on the shots unless `changes` say otherwise, or find that it is done.

    A stage that was begun and killed goes on.
    """
    from llmrec_prompt.adapt.stages import train

    suite = setting.suite
    steps = {"steps": suite.steps[setting.shots]} if setting.shots in suite.steps else {}
    own = {"name": f"{suite.name}-{name}", "sources": (setting.population.source,)}
    stage = Stage.model_validate({**suite.stage, **steps, **own, **changes})
    recipe = Recipe(
        base=suite.model,
        seed=suite.seed,
        start=str(start.folder) if start else None,
        lora=_lora(suite, (start,) if start else setting.sources, own=start is None),
        precision=suite.precision,
        stages=(stage,),
    )
    done = train(
        recipe,
        out=setting.folder / "adapters",
        runs=setting.folder / "training",
        resume=True,
        announce=setting.announce,
    )[-1]
    return under(setting, done.folder, {"minutes": done.minutes, "validation": done.metrics})


def _lora(suite: Suite, like: Sequence[Adapter], *, own: bool) -> Lora:
    """The suite's, where it may have its own; else that of an adapter, so that one can start from it."""
    if own and suite.lora is not None:
        return suite.lora
    if not like:
        return Lora()
    lora = like[0].card.lora
    return Lora(
        r=lora.r,
        alpha=int(lora.alpha),
        targets=lora.targets,
        layers=len(lora.layers) if lora.layers else None,
    )


def _catalogue_only(setting: Setting) -> Contestant:
    changes = {"objectives": {"catalogue": 1.0}, **setting.suite.catalogue}
    return trained(setting, "catalogue", **changes)


def _source_only(setting: Setting) -> Contestant:
    return under(setting, setting.sources[0].folder)


def _target_only(setting: Setting) -> Contestant:
    return trained(setting, f"target-{setting.shots}")


def _source_and_target(setting: Setting) -> Contestant:
    sources = (setting.population.source, *_replayed(setting))
    return trained(setting, f"source-target-{setting.shots}", start=setting.sources[0], sources=sources)


def _predictive(setting: Setting) -> Contestant:
    """Beside what the sources teach of likes, where there are some to replay: alone it unlearns that."""
    beside = {"encode": 1.0, "predictive": 0.3}
    return _without_labels(setting, "predictive", beside if setting.suite.replay else {"predictive": 1.0})


def _adversarial(setting: Setting) -> Contestant:
    return _without_labels(setting, "adversarial", {"encode": 1.0, "adversarial": 1.0})


def _without_labels(setting: Setting, name: str, objectives: Mapping[str, float]) -> Contestant:
    """Go on from the source with the target's histories unlabelled, and with what is replayed."""
    unlabelled = setting.population.source.model_copy(update={"labelled": False})
    sources = (unlabelled, *_replayed(setting))
    name = f"{name}-{setting.shots}"
    return trained(setting, name, start=setting.sources[0], objectives=objectives, sources=sources)


def _replayed(setting: Setting) -> list[Source]:
    """The sources again; the target alone validates."""
    return [source.model_copy(update={"validation": 0}) for source in setting.suite.replay]


def _composed(setting: Setting) -> Contestant:
    suite, plan, parents = setting.suite, setting.suite.composed, setting.parts
    weights = plain_weights(plan.method, len(parents), plan.weights)
    mixture = Mixture(parents, weights, plan.method, plan.rank)
    name, out = f"{suite.name}-composed-{setting.shots}", setting.folder / "adapters"
    if not setting.population.users:
        done = compose(name, mixture, out, force=True)
    else:
        from llmrec_prompt.adapt.compose.search import Search, compose_on

        search = Search(
            setting.population.source,
            users=plan.users,
            base=suite.model,
            precision=suite.precision,
            evaluations=plan.evaluations,
            seed=suite.seed,
        )
        done = compose_on(name, mixture, out, search, force=True)
    weighed = {parent.name: parent.weight for parent in done.card.parents}
    return under(setting, done.folder, {"parents": weighed, "minutes": done.card.minutes})


BUILT: Mapping[str, Method] = {
    "base": Method(_plain("encoder"), flat=True),
    "likelihood": Method(_plain("likelihood"), flat=True),
    "catalogue-only": Method(_catalogue_only, flat=True),
    "source-only": Method(_source_only),
    "target-only": Method(_target_only, _shots),
    "source+target": Method(_source_and_target, _shots),
    "predictive": Method(_predictive, _shots),
    "adversarial": Method(_adversarial, _shots),
    "composed": Method(_composed, _shots_or_parts),
    "popularity": Method(_scorer("popularity"), _shots),
    "embedding": Method(_scorer("embedding"), flat=True),
    "popularity+embedding": Method(_plain("popularity+embedding"), _shots),
    "item-knn": Method(_scorer("item-knn"), _shots),
    "co-occurrence": Method(_scorer("co-occurrence"), _shots),
    "sasrec": Method(_scorer("sasrec"), _shots),
    "lstm": Method(_scorer("lstm"), _shots),
}
"""`Suite.methods` by name."""
