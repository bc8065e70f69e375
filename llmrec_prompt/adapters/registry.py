"""Where adapters lie, and how one is found: by folder, by name, by domain, or on the Hugging Face hub."""

import functools
import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from llmrec_prompt.adapters.card import CARD, CONFIG, README, USERS, WEIGHTS, Card
from llmrec_prompt.adapters.embedded import is_twin, texts_in
from llmrec_prompt.cache import file_stamp, whole_folder
from llmrec_prompt.errors import AdapterError, UnknownName
from llmrec_prompt.hub import snapshot

log = logging.getLogger(__name__)
_ROOM = Path(__file__).parent.parent
FILES = (CARD, CONFIG, WEIGHTS, README, USERS)
"""All that belongs to an adapter; nothing else is copied or downloaded."""
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter: where its files are (a folder, or a GGUF twin), and its card."""

    folder: Path
    card: Card


def home() -> Path:
    """Where `add` puts adapters: `$LLMREC_ADAPTERS`, or the platform's place for a user's data."""
    chosen = os.environ.get("LLMREC_ADAPTERS")
    return Path(chosen).expanduser() if chosen else _user_folder()


def _user_folder() -> Path:
    return Path(platformdirs.user_data_dir("llmrec-prompt")) / "adapters"


def search_path() -> list[Path]:
    """Folders of adapters, first match wins: ./adapters, `$LLMREC_ADAPTERS`, the user's, the shipped ones."""
    places = [
        Path("adapters"),
        home(),
        _user_folder(),
        _ROOM / "shipped_adapters",
        _ROOM.parent / "adapters",
    ]
    return list(dict.fromkeys(place.resolve() for place in places if place.is_dir()))


def list_adapters() -> dict[str, Adapter]:
    """All adapters by name; of two with one name, the first on the search path.

    One whose card cannot be read is left out, with a warning.
    """
    found: dict[str, Adapter] = {}
    for place in search_path():
        for path in sorted(place.glob(f"*/{CARD}")):
            try:
                card = _read(path.parent, *file_stamp(path))
            except (AdapterError, OSError) as error:
                log.warning("Left out: %s", error)
                continue
            found.setdefault(card.name, Adapter(path.parent, card))
    return dict(sorted(found.items()))


@functools.lru_cache(maxsize=1000)
def _read(folder: Path, *_state: int) -> Card:
    """A card, read again only when its file changes: adapters are looked up with every request."""
    return Card.load(folder)


def find(what: str | Path, base_hash: str | None = None) -> Adapter:
    """The adapter a user means.

    Args:
        what: an adapter's folder, its name, a domain that one adapter serves, or a hub id
            `org/name[@revision]`.
        base_hash: `ModelInfo.hash` of the model it shall work on; a domain's adapters for other models are
            passed over, and any other adapter must fit.

    Raises:
        UnknownName: nothing of that name, and no domain an adapter serves.
        AdapterError: it is for another base, several serve the domain, or it cannot be read.
        MissingExtra: a hub id, but huggingface_hub is not installed.
    """
    folder = Path(what).expanduser()
    if is_twin(folder) and folder.is_file():
        raise AdapterError(f"{folder} is an adapter in GGUF form, which can only rank. Give its PEFT folder.")
    if Path(what).name == str(what) and not (folder / CARD).is_file():
        known = list_adapters()
        if str(what) not in known:
            return _of_domain(str(what), known, base_hash)
        adapter = known[str(what)]
    elif folder.is_dir() or not HUB_ID.fullmatch(str(what)) or folder.parent.is_dir():
        adapter = Adapter(folder.absolute(), Card.load(folder))
    else:
        adapter = download(str(what))
    if base_hash is not None:
        adapter.card.check_base(base_hash)
    return adapter


def find_served(what: str | Path, base_hash: str | None = None) -> Adapter:
    """The same where an adapter is only to rank: then it may be a GGUF twin, too.

    Raises:
        UnknownName, AdapterError, MissingExtra: as `find`.
        AdapterError: a GGUF file that holds no card.
    """
    if not is_twin(what):
        return find(what, base_hash)
    path = Path(what).expanduser().absolute()
    text = texts_in(path).get(CARD)
    if text is None:
        raise AdapterError(
            f"{path} holds no card. Export it with `llmrec adapters export NAME --gguf {path.name}`."
        )
    adapter = Adapter(path, Card.parse(text, path))
    if base_hash is not None:
        adapter.card.check_base(base_hash)
    return adapter


def _of_domain(domain: str, known: dict[str, Adapter], base_hash: str | None) -> Adapter:
    of_domain = [adapter for adapter in known.values() if adapter.card.domain == domain]
    if not of_domain:
        domains = {adapter.card.domain for adapter in known.values()}
        raise UnknownName("adapter", domain, {*known, *domains})
    if (found := _only_fitting(domain, of_domain, base_hash)) is None:
        bases = ", ".join(sorted({f"{a.card.name} for {a.card.base.ref}" for a in of_domain}))
        raise AdapterError(
            f"No adapter of domain {domain!r} fits this model; there is: {bases}. "
            "Load that model, or train another with `llmrec adapt train`."
        )
    return found


def for_domain(domain: str, base_hash: str) -> Adapter | None:
    """The adapter that serves a domain on a model (`ModelInfo.hash`), if there is one.

    Raises:
        AdapterError: several do.
    """
    of_domain = [adapter for adapter in list_adapters().values() if adapter.card.domain == domain]
    return _only_fitting(domain, of_domain, base_hash)


def _only_fitting(domain: str, found: Sequence[Adapter], base_hash: str | None) -> Adapter | None:
    fitting = [adapter for adapter in found if base_hash is None or adapter.card.fits(base_hash)]
    if len(fitting) > 1:
        names = ", ".join(sorted(adapter.card.name for adapter in fitting))
        raise AdapterError(f"Several adapters serve domain {domain!r}: {names}. Say which by name.")
    return fitting[0] if fitting else None


def download(hub_id: str) -> Adapter:
    """An adapter of the Hugging Face hub; of its files only those that belong to an adapter.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        AdapterError: there is no such adapter, or no network.
    """
    folder = snapshot(hub_id, "adapter", FILES, AdapterError)
    return Adapter(folder, Card.load(folder))


def add(source: Adapter, *, force: bool = False) -> Adapter:
    """Copy an adapter (not its verification: see `verify`) to where all commands find it.

    Raises:
        AdapterError: one of that name is there already, files are links out of the folder, or the copy fails.
    """
    target = home() / source.card.name
    if target.exists() and not force:
        raise AdapterError(f"{target} exists already. Say --force to put this one in its place.")
    try:
        with whole_folder(target, replace=force) as partial:
            _copy(source.folder, partial, FILES)
    except OSError as error:
        raise AdapterError(f"Cannot copy {source.folder} to {target}: {error.strerror or error}.") from error
    return Adapter(target, Card.load(target))


def strays(folder: Path) -> list[str]:
    """Files of an adapter that are links to files outside it, which may be anything, such as a private key.

    The hub's cache is made of links to its own `blobs`; those are the adapter's own files.
    """
    home = folder.resolve()
    inside = {home, home.parent.parent / "blobs"} if home.parent.name == "snapshots" else {home}
    links = (path for path in folder.rglob("*") if path.is_symlink())
    out = (path for path in links if inside.isdisjoint(Path(os.path.realpath(path)).parents))
    return sorted(str(path.relative_to(folder)) for path in out)


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    if out := [name for name in strays(source) if name in names]:
        raise AdapterError(
            f"{source} holds links to files outside it: {', '.join(out)}. Put the files there."
        )
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def remove(name: str) -> Path:
    """Delete an adapter that `add` put there; returns the folder that is gone.

    Raises:
        UnknownName: there is no such adapter.
        AdapterError: it lies elsewhere; what a user made or what is shipped is not deleted.
    """
    known = list_adapters()
    if name not in known:
        raise UnknownName("adapter", name, known)
    folder = known[name].folder
    if folder.resolve().parent != home().resolve():
        raise AdapterError(f"Adapter {name!r} lies in {folder}, where `add` did not put it. Delete it there.")
    shutil.rmtree(folder)
    return folder
