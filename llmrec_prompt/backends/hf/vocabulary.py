"""Text to token ids and back, with the rules that llama.cpp has. Knows no weights."""

from collections.abc import Sequence
from typing import Any

ENDS = frozenset(
    [
        "<|eot_id|>",
        "<|im_end|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|flush|>",
        "<|calls|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "</s>",
        "<|end_of_text|>",
        "<|eom_id|>",
        "<EOT>",
        "_<EOT>",
        "[EOT]",
        "[EOS]",
        "<｜end▁of▁sentence｜>",
        "<end_of_utterance>",
    ]
)
"""Texts that llama.cpp takes for the end of a turn in any vocabulary, whatever the file says of them."""

DIGIT_WISE = frozenset(["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"])
"""Byte-level vocabularies (`tokenizer.ggml.pre`) whose numbers are cut into digits first."""

BOS_UNLESS_SAID = frozenset(
    ["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"]
)
"""Byte-level vocabularies to which llama.cpp adds BOS where the file does not say."""


class Vocabulary:
    """A transformers tokenizer, asked for plain text.

    Args:
        tokenizer: the loaded tokenizer.
        ends: further token ids that end a generation.
    """

    def __init__(self, tokenizer: Any, ends: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        tokenizer.model_max_length = 1 << 60  # our own check knows the context; this one would only warn
        first = tokenizer("a")["input_ids"][:1]
        self._bos = first if first and first[0] == tokenizer.bos_token_id else []
        self.template = _one_template(tokenizer.chat_template)
        named = {i for i, token in tokenizer.added_tokens_decoder.items() if token.content in ENDS}
        self.ends = frozenset({*named, *ends} | {tokenizer.eos_token_id} - {None})

    def tokenize(self, text: str, *, special: bool = False, bos: bool = True) -> list[int]:
        """Token ids of a text; control tokens are only recognised when `special` is set."""
        return self.tokenize_all([text], special=special, bos=bos)[0]

    def tokenize_all(
        self, texts: Sequence[str], *, special: bool = False, bos: bool = True
    ) -> list[list[int]]:
        """Token ids of many texts at once."""
        if not texts:
            return []
        encoded = self._tokenizer(list(texts), add_special_tokens=False, split_special_tokens=not special)
        return [self._bos * bos + ids for ids in encoded["input_ids"]]

    def text(self, tokens: Sequence[int]) -> str:
        """The text that tokens stand for; control tokens give nothing."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))


def _one_template(template: Any) -> str:
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()), "")
    return template or ""


def as_llama_cpp(spec: dict[str, Any], pre: str) -> dict[str, Any]:
    """Mend a `tokenizer.json` made from a GGUF file so that it cuts every text as llama.cpp does.

    Three differences were found by comparing token ids:

    - numbers: transformers forgets that some byte-level vocabularies cut them into digits first;
    - `ENDS` that the file calls ordinary added tokens (Gemma's `</s>`) are control tokens to llama.cpp,
      and so must be spelled out when a title holds them;
    - runs of spaces: the file has them as added tokens of real spaces; transformers respells them as
      merges of "▁" and so takes a literal "▁▁" for two spaces.
    """
    if pre in DIGIT_WISE:
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        digits = {"type": "Digits", "individual_digits": True}
        spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, byte_level]}
    added = spec["added_tokens"]
    for token in added:
        token["special"] = token["special"] or token["content"] in ENDS
    if spec["model"].get("byte_fallback") and any(token["content"] == "\n" for token in added):
        _respell_spaces(spec)
    return spec


def _respell_spaces(spec: dict[str, Any]) -> None:
    vocabulary: dict[str, int] = spec["model"]["vocab"]
    runs = {t: i for t, i in vocabulary.items() if len(t) > 1 and not t.strip("▁")}
    for run, i in runs.items():
        del vocabulary[run]
        vocabulary[" " * len(run)] = i
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
        spec["added_tokens"].append({"id": i, "content": " " * len(run), **flags})
    spec["added_tokens"].sort(key=lambda token: token["id"])
    merges = spec["model"]["merges"]
    spec["model"]["merges"] = [pair for pair in merges if not runs.keys() & {"".join(pair), *pair}]
