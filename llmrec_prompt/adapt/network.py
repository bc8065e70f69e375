"""The model that is trained: a frozen lower part whose states are kept, and an upper part with LoRA."""

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt.adapt.recipe import Lora
from llmrec_prompt.backends.hf.loading import NO_CODE, one_line_errors
from llmrec_prompt.cache import NumberStore, cache_dir, content_key
from llmrec_prompt.errors import BackendError, MissingExtra

try:
    import torch
    from peft import LoraConfig, get_peft_model
    from torch import nn

    from llmrec_prompt.adapt.starting import take_up
    from llmrec_prompt.backends.hf.network import logits_of
except ImportError as error:
    raise MissingExtra("Training", "train") from error

FORM = {torch.bfloat16: "<i2", torch.float32: "<i4"}
"""States are kept as their bits, in integers of the same width."""


class Network(nn.Module):  # type: ignore[misc]
    """Token sequences in, the last layer's states out.

    Without LoRA below layer n, the states that enter layer n depend on the text alone. They are computed
    once per text and kept on disk, so that from the second time on, also in another run, a text costs only
    the upper layers.

    Args:
        model: a causal language model of transformers.
        lora: what to train.
        start: a PEFT folder whose weights are trained on.
        base_hash: identity of the base; names the file of kept states. Without it nothing is kept.

    Raises:
        AdapterError: `start` has another rank, scale or targets than `lora`, or layers that it has not.
        BackendError: a kind of model that cannot be cut in two, as its own forward shows.
        ConfigError: `lora` asks for more layers than there are.
    """

    def __init__(
        self, model: Any, lora: Lora, *, start: Path | None = None, base_hash: str | None = None
    ) -> None:
        super().__init__()
        depth = model.config.num_hidden_layers
        self.first = lora.first_layer(depth)
        config = LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            target_modules=list(lora.targets),
            layers_to_transform=list(range(self.first, depth)),
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # calls of peft's that transformers deprecates
            self.peft = get_peft_model(model, config)
        if start is not None:
            take_up(self.peft, start, lora, range(self.first, depth))
        body = model.base_model
        layers = list(body.layers)
        # Plain attributes, not submodules: their weights are the model's, and must be saved once.
        self.__dict__["_lower"] = part(body, layers[: self.first], 0, nn.Identity())
        self.__dict__["_upper"] = part(body, layers[self.first :], self.first, body.norm)
        self._upper.embedding_multiplier = 1.0  # Granite multiplies what comes in; the lower part has done it
        self._store: NumberStore | None = None
        if self.first and base_hash:
            kind = str(model.dtype).removeprefix("torch.") + "-4bit" * bool(getattr(model, "is_quantized", 0))
            path = cache_dir() / "states" / f"{base_hash}-{self.first}-{kind}.sqlite"
            self._store = NumberStore(path, dtype=FORM[model.dtype])
        self.tokens = 0
        self._check()

    def _check(self) -> None:
        """A short text, read in two parts and by the model's own forward.

        The tolerance is far above what bfloat16 does to the norm, and far below what a lost factor does. Not
        without gradients: then weights of 4 bits are laid out anew on a CPU, and cannot be learnt through.
        """
        text = [1, 2, 3, 4, 5, 6, 7, 8]
        below = _padded(self._compute([text]))
        ours = self.logits(self._upper(inputs_embeds=below, use_cache=False).last_hidden_state[0]).detach()
        ids = torch.tensor([text], device=self.device)
        own = self.model(input_ids=ids, use_cache=False).logits[0].detach().float()
        if not (ours - own).norm() <= 0.1 * own.norm():
            raise BackendError(
                f"Models of type {self.model.config.model_type!r} cannot be trained: read in two parts, "
                "their logits are not those of their own forward. Choose another model."
            )

    @property
    def model(self) -> Any:
        """The whole causal language model, adapter included."""
        return self.peft.base_model.model

    @property
    def device(self) -> Any:
        """Where its weights are."""
        return self.model.device

    @property
    def trainable(self) -> list[tuple[str, Any]]:
        """Names and parameters of the adapter."""
        return [(name, p) for name, p in self.peft.named_parameters() if p.requires_grad]

    def states(self, sequences: Sequence[Sequence[int]], *, keep: bool = True) -> Any:
        """The states (after the final norm) of all tokens, right-padded: (sequences, longest, d).

        Padding comes last and attention looks back only, so it changes nothing and needs no mask. Texts that
        will hardly come again are better not kept (`keep=False`).
        """
        self.tokens += sum(map(len, sequences))
        below = self._below(sequences) if keep else self._compute(sequences)
        return self._upper(inputs_embeds=_padded(below), use_cache=False).last_hidden_state

    def masked_states(self, tokens: Any, positions: Any, masks: Any) -> Any:
        """The states of rows of tokens that do not see all before them: (rows, longest, d); nothing is kept.

        Args:
            tokens: ids (rows, longest).
            positions: of the tokens (rows, longest).
            masks: who sees whom, in the model's own form (see `packed.masks`).
        """
        self.tokens += tokens.numel()
        options = {"attention_mask": masks, "position_ids": positions, "use_cache": False}
        with torch.no_grad():
            below = self._lower(input_ids=tokens, **options).last_hidden_state
        return self._upper(inputs_embeds=below, **options).last_hidden_state

    def ends(self, sequences: Sequence[Sequence[int]], *, keep: bool = True) -> Any:
        """The state at the end of each sequence: (sequences, d).

        Sequences of about the same length go together, so that little is padding.
        """
        groups: dict[int, list[int]] = {}
        for i, sequence in enumerate(sequences):
            groups.setdefault(rounded(len(sequence)), []).append(i)
        found = []
        for group in groups.values():
            last = torch.tensor([len(sequences[i]) - 1 for i in group], device=self.device)
            states = self.states([sequences[i] for i in group], keep=keep)
            found.append(states[torch.arange(len(group), device=self.device), last])
        order = torch.tensor([i for group in groups.values() for i in group], device=self.device)
        return torch.cat(found)[order.argsort()]

    def logits(self, states: Any) -> Any:
        """Next-token logits in single precision."""
        return logits_of(self.model, states)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _below(self, sequences: Sequence[Sequence[int]]) -> list[Any]:
        """What enters the first trained layer, for each sequence (length, d)."""
        keys = [content_key(",".join(map(str, s))) for s in sequences]
        texts = dict(zip(keys, sequences, strict=True))
        known = self._recall(list(texts))
        missing = [key for key in texts if key not in known]
        if missing:
            fresh = self._compute([texts[key] for key in missing])
            known |= dict(zip(missing, fresh, strict=True))
            self._keep({key: known[key] for key in missing})
        return [known[key] for key in keys]

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _compute(self, sequences: Sequence[Sequence[int]]) -> list[Any]:
        width = rounded(max(map(len, sequences)))
        ids = torch.tensor([[*s, *[0] * (width - len(s))] for s in sequences], device=self.device)
        states = self._lower(input_ids=ids, use_cache=False).last_hidden_state
        return [row[: len(s)] for row, s in zip(states, sequences, strict=True)]

    def _recall(self, keys: list[str]) -> dict[str, Any]:
        if self._store is None:
            return {}
        width = self.model.config.hidden_size
        return {
            key: torch.tensor(bits).view(self.model.dtype).reshape(-1, width).to(self.device)
            for key, bits in self._store.get(keys).items()
        }

    def _keep(self, states: dict[str, Any]) -> None:
        if self._store is not None:
            bits = torch.int16 if self.model.dtype == torch.bfloat16 else torch.int32
            self._store.put({k: s.contiguous().view(bits).cpu().numpy().ravel() for k, s in states.items()})


def part(body: Any, layers: Sequence[Any], begin: int, norm: Any) -> Any:
    """Some consecutive layers of a transformers body as a body of their own, sharing its weights."""
    cut = copy.copy(body)
    cut._modules = dict(body._modules)
    cut.config = copy.copy(body.config)
    cut.config.num_hidden_layers = len(layers)
    kinds = getattr(body.config, "layer_types", None)
    if kinds is not None:
        cut.config.layer_types = kinds[begin : begin + len(layers)]
    cut.layers, cut.norm = nn.ModuleList(layers), norm
    return cut


def rounded(length: int) -> int:
    """Up to a multiple of eight: an engine prepares anew for every shape it has not met."""
    return -(-length // 8) * 8


def _padded(states: Sequence[Any]) -> Any:
    longest = max(states, key=len)
    spare = longest.new_zeros((rounded(len(longest)), longest.shape[1]))
    return nn.utils.rnn.pad_sequence([*states, spare], batch_first=True)[:-1]


def load_base(folder: str, *, precision: str, quantise: bool = False) -> tuple[Any, Any]:
    """Tokenizer and frozen base for training, and on a GPU where there is one.

    Args:
        folder: a folder or hub id that transformers loads.
        precision: `bf16`, `fp32`, or `auto`: bf16 where the device multiplies it in hardware.
        quantise: 4-bit weights (QLoRA).

    Raises:
        MissingExtra: QLoRA without bitsandbytes.
        ConfigError: the model is made of code of its own.
        BackendError: transformers cannot load it.
    """
    import transformers

    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if half(precision) else torch.float32
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    if quantise:
        options["quantization_config"] = _four_bits(dtype)
    if not cuda:  # over short texts plain attention is faster there than the fused kernel
        options["attn_implementation"] = "eager"
    transformers.utils.logging.disable_progress_bar()
    with one_line_errors(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **NO_CODE)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, **options, **NO_CODE)
    if cuda and not quantise:
        model = model.to("cuda")
    return tokenizer, model.requires_grad_(False)


def half(precision: str) -> bool:
    """Whether to compute in bfloat16."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():  # older GPUs emulate it, slower than they are in single precision
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Builds without that library, such as those for Macs, do not have the question either.
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _four_bits(compute: Any) -> Any:
    import transformers

    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise MissingExtra("QLoRA (lora.quantise)", "qlora") from error
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
    )
