import shutil

import numpy as np
import pytest

from llmrec_prompt.adapters import Card, Lora, require_sound, verify, write_users
from llmrec_prompt.errors import AdapterError

from .made import BASE, card, tensors, write_adapter, write_config, write_safetensors


@pytest.fixture
def folder(tmp_path):
    return write_adapter(tmp_path / "a")


def failing(folder, base_hash=None):
    return {check.name: check.found for check in verify(folder, base_hash) if not check.ok}


def test_a_sound_adapter_passes_every_check(folder):
    checks = verify(folder, f"{BASE}-f16")
    assert failing(folder, f"{BASE}-f16") == {}
    assert {c.name for c in checks} == {
        "card", "files", "lora", "weights", "hash", "shape", "templates", "users", "base",
    }  # fmt: skip
    assert all(check.found for check in checks)
    require_sound(folder)


def rewrite(folder, **changes):
    Card.load(folder).model_copy(update=changes).save(folder)


@pytest.mark.parametrize("name", ["optimizer.pt", "deep/model.bin", "x.PKL", "code.py"])
def test_files_that_may_run_code_fail(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    assert failing(folder).keys() == {"files"}
    assert name in failing(folder)["files"]


def test_missing_files_fail(folder):
    (folder / "README.md").unlink()
    assert failing(folder) == {"files": "missing: README.md"}
    (folder / "adapter_model.safetensors").unlink()
    assert {"files", "weights", "hash", "shape"} == failing(folder).keys()


def test_no_card_fails_and_the_rest_is_still_looked_at(folder):
    (folder / "card.yaml").unlink()
    assert failing(folder).keys() == {"card", "files"}
    assert "weights" in {check.name for check in verify(folder)}


def test_an_empty_folder_fails_everything(tmp_path):
    assert all(not check.ok for check in verify(tmp_path))


def test_other_weights_than_the_cards_fail(folder):
    write_safetensors(folder / "adapter_model.safetensors", tensors(seed=9))
    assert failing(folder).keys() == {"hash"}


def test_weights_that_are_not_finite_fail(folder):
    arrays = tensors()
    next(iter(arrays.values()))[0, 0] = np.nan
    write_safetensors(folder / "adapter_model.safetensors", arrays)
    assert failing(folder)["weights"] == "not finite: layer 0 self_attn.q_proj"


def test_another_base_fails(folder):
    assert failing(folder, "0000").keys() == {"base"}


def test_changed_templates_fail(folder):
    rewrite(folder, templates={"movies": "0000", "no-such-domain": "1111"})
    assert failing(folder).keys() == {"templates"}
    rewrite(folder, templates={"no-such-domain": "1111"})
    assert failing(folder) == {}
    (found,) = [check.found for check in verify(folder) if check.name == "templates"]
    assert "not checked: no-such-domain" in found


def test_a_language_that_a_domain_does_not_speak_fails(folder):
    rewrite(folder, language="xx")
    assert failing(folder).keys() == {"templates"}
    assert "no words for language 'xx'" in failing(folder)["templates"]


def test_numbers_that_are_none_fail(folder):
    write_config(folder, r="4")
    assert failing(folder) == {"lora": "its r is '4', not 1 to 4096"}


def test_files_of_endless_depth_fail(folder):
    (folder / "adapter_config.json").write_text('{"a":' * 40_000)
    text = b'{"a":' * 100_000
    (folder / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    assert failing(folder).keys() == {"lora", "weights", "hash", "shape"}
    assert all("recursion" in failing(folder)[name] for name in ("lora", "weights"))


def test_a_configuration_that_does_not_load_everywhere_fails(folder):
    write_config(folder, use_dora=True)
    assert failing(folder) == {"lora": "use_dora is set"}


@pytest.mark.parametrize(
    "lora",
    [
        Lora(
            r=8,
            alpha=8,
            targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        ),
        Lora(r=4, alpha=8, targets=("q_proj",)),
        Lora(r=4, alpha=8, targets=card().lora.targets, layers=(1,)),
    ],
)
def test_a_card_that_tells_of_another_shape_fails(folder, lora):
    rewrite(folder, lora=lora)
    assert failing(folder).keys() == {"shape"}


def test_users_that_are_not_told_fail(folder):
    (folder / "users.txt").unlink()
    assert "names none" in failing(folder)["users"]
    write_users(folder, ["alice@example.com"])
    assert "something else than hashes" in failing(folder)["users"]
    (folder / "users.txt").unlink()
    rewrite(folder, data=())
    assert failing(folder) == {}


def test_require_sound_says_all_that_is_wrong(folder, tmp_path):
    bad = shutil.copytree(folder, tmp_path / "bad")
    (bad / "x.pt").write_bytes(b"x")
    write_users(bad, [])
    with pytest.raises(
        AdapterError, match=r"files: may run code when loaded: x\.pt.*users: trained on 2 users"
    ):
        require_sound(bad)
