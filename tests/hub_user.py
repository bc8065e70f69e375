"""What a user of the hub does, in a process of its own: `python -m tests.hub_user HUB_FOLDER FOLDER`."""

import contextlib
import json
import os
import shutil
import sys
import urllib.request
from pathlib import Path

from llmrec_prompt.adapt import Recipe
from llmrec_prompt.adapt.stages import train
from llmrec_prompt.backends import load_backend
from llmrec_prompt.errors import BackendError
from llmrec_prompt.recommender import Recommender

MODEL, ADAPTER = "hf:someone/tiny", "someone/ring@v1"
OFFLINE = "/offline-from-here"
"""Asked of the hub before all that is done offline."""


def main(root: Path, own: Path) -> None:
    """Print as JSON what test_hub.py looks at."""
    found: dict[str, object] = {}
    trained = train(Recipe.parse(recipe(own / "ring")), out=own / "adapters", runs=own / "runs")[0]
    shutil.move(trained.folder, root / "someone" / "ring")
    rec = Recommender(own / "ring", model=MODEL, mode="encoder", embedder="backend")
    found["bare"] = provenance(rec)
    rec.use(ADAPTER)
    found["under"] = provenance(rec)
    found["local_hash"] = load_backend(f"hf:{root / 'someone' / 'tiny'}").info.hash
    found["errors"] = {name: error_of(f"hf:someone/{name}") for name in ("none", "tiny@v9", "pickled")}
    os.environ["LLMREC_OFFLINE"] = "1"
    with contextlib.suppress(OSError):
        urllib.request.urlopen(os.environ["HF_ENDPOINT"] + OFFLINE)
    found["offline_hash"] = load_backend(MODEL).info.hash
    found["errors"]["offline"] = error_of("hf:someone/other")  # type: ignore[index]
    sys.stdout.write(json.dumps(found) + "\n")


def recipe(data: Path) -> dict[str, object]:
    """A training of two steps: what it learns is not looked at."""
    stage = {"name": "ring", "sources": [{"data": str(data), "test": 10, "validation": 8}]}
    stage |= {"steps": 2, "evaluate_every": 2, "history": 6, "batch": 4}
    return {"base": MODEL, "precision": "fp32", "lora": {"r": 4, "alpha": 8}, "stages": [stage]}


def provenance(rec: Recommender) -> dict[str, object]:
    """Of a recommendation."""
    return rec.recommend(list(rec.dataset.items[:2]), k=3).provenance.model_dump(mode="json")


def error_of(model: str) -> str:
    """What loading a model that cannot be had says."""
    try:
        load_backend(model)
    except BackendError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
