"""A bench on planted data, and a plain training loop: what Trainer adds is tested end to end."""

import math

from llmrec_prompt.adapt import Recipe


def bench(tiny, objectives, sources, **stage):
    """Everything of a small stage; `sources` are folders or settings of sources."""
    import torch

    from llmrec_prompt.adapt.building import build

    given = [s if isinstance(s, dict) else source(s) for s in sources]
    stage = {"name": "planted", "objectives": objectives, "sources": given, "steps": 60, "batch": 16, **stage}
    recipe = Recipe.parse({"base": f"hf:{tiny}", "precision": "fp32", "stages": [{"history": 8, **stage}]})
    torch.manual_seed(0)
    return build(recipe, recipe.stages[0], None)


def source(folder, **changes):
    return {"data": str(folder), "test": 20, "validation": 20, **changes}


def learn(bench, *, lr=5e-3):
    """Train all lessons; gives the mean loss of the first and of the last tenth of them."""
    import torch

    learnt = [p for p in bench.course.module.parameters() if p.requires_grad]
    scalars = [p for p in learnt if p.dim() == 0]
    groups = [{"params": [p for p in learnt if p.dim()]}, {"params": scalars, "lr": 10 * lr}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=lr)
    steps, losses = len(bench.lessons), []
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / 5) * (1 - step / steps)
    )
    for step in range(steps):
        loss = bench.course.module(bench.lessons[step])["loss"]
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    tenth = math.ceil(steps / 10)
    return sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth


def quality(bench):
    """NDCG@10 of held-out users among 20 uniform candidates; about 0.23 by chance."""
    return bench.evaluate()["ndcg@10 uniform"]
