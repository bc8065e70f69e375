"""The low-level llama.cpp calls in Python's clothes: a model, a context, a batch of tokens.

All knowledge of the ctypes bindings lives here, so that a change of theirs is a change of one module.
Knows nothing of prompts or scores.
"""

import contextlib
import ctypes
import logging
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec_prompt.errors import AdapterError, BackendError, MissingExtra

try:
    import llama_cpp as C
except ImportError as error:
    raise MissingExtra("The llama_cpp backend", "local") from error

BUILD = str(C.__version__)
AMX = b"AMX_INT8 = 1" in C.llama_print_system_info()
log = logging.getLogger(__name__)
Row = npt.NDArray[np.float32]


@C.llama_log_callback  # type: ignore[untyped-decorator]
def _to_logging(level: int, text: bytes, _: object) -> None:
    log.log(logging.ERROR if level == 4 else logging.DEBUG, text.decode("utf-8", "replace").rstrip())


C.llama_log_set(_to_logging, ctypes.c_void_p(0))
C.llama_backend_init()


@contextlib.contextmanager
def signals_after() -> Iterator[list[int]]:
    """Inside, Ctrl-C and SIGTERM are put off to the end; gives the numbers of those that came so far.

    Around calls that may log: what a signal raises inside a callback from C goes no further than that.
    """
    came: list[int] = []
    own: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # no other thread is interrupted by signals
        both = (signal.SIGINT, signal.SIGTERM)
        own = {number: heed for number in both if callable(heed := signal.getsignal(number))}
    for number in own:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        for number, heed in own.items():
            signal.signal(number, heed)
    for number in came[:1]:
        signal.raise_signal(number)


@dataclass(frozen=True, slots=True)
class Token:
    """One batch entry: token id, its position, the sequence it belongs to, whether its output is wanted."""

    id: int
    position: int
    sequence: int
    output: bool


class Model:
    """The weights and the vocabulary of a GGUF file.

    Raises:
        BackendError: the file cannot be loaded.
    """

    def __init__(self, path: Path) -> None:
        params = C.llama_model_default_params()
        # Quantised weights that are packed anew for AMX end in a segmentation fault at the first evaluation
        # (ggml-org/llama.cpp#20824); without that they take the kernels of other processors.
        params.use_extra_bufts = not AMX
        params.n_gpu_layers = 999 if C.llama_supports_gpu_offload() else 0
        with signals_after() as came:
            params.progress_callback = C.llama_progress_callback(lambda *_: not came)
            self._model = C.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise BackendError(f"llama.cpp cannot load {path}. Check that it is a complete GGUF file.")
        self._vocab = C.llama_model_get_vocab(self._model)
        self.vocabulary: int = C.llama_vocab_n_tokens(self._vocab)
        self.dimensions: int = C.llama_model_n_embd(self._model)
        self.trained_context: int = C.llama_model_n_ctx_train(self._model)

    def tokenize(self, text: str, *, special: bool = False, bos: bool = True) -> list[int]:
        """Token ids of a text; control tokens are only recognised when `special` is set."""
        data = text.encode("utf-8")
        buffer = (C.llama_token * (len(data) + 2))()
        n = C.llama_tokenize(self._vocab, data, len(data), buffer, len(buffer), bos, special)
        if n < 0:
            raise BackendError(f"llama.cpp cannot tokenise a text of {len(data)} bytes.")
        return list(buffer[:n])

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; control tokens give nothing."""
        buffer = ctypes.create_string_buffer(64)
        n = C.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if n < 0:
            buffer = ctypes.create_string_buffer(-n)
            n = C.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[:n]

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation."""
        return bool(C.llama_vocab_is_eog(self._vocab, token))

    def metadata(self, key: str) -> str:
        """A metadata value of the GGUF file, or an empty string."""
        buffer = ctypes.create_string_buffer(1 << 16)
        n = C.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if n > 0 else ""

    def grammar_sampler(self, grammar: str | None) -> Any:
        """A greedy sampler chain, kept inside a GBNF grammar where one is given."""
        chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        if grammar is not None:
            constrained = C.llama_sampler_init_grammar(self._vocab, grammar.encode(), b"root")
            if not constrained:
                raise BackendError("llama.cpp refused the grammar made from the JSON schema.")
            C.llama_sampler_chain_add(chain, constrained)
        C.llama_sampler_chain_add(chain, C.llama_sampler_init_greedy())
        return chain

    def load_adapter(self, path: Path) -> Any:
        """A LoRA adapter in GGUF form, ready to be switched on in a context.

        Raises:
            AdapterError: the file is missing or was made for another base.
        """
        with signals_after():
            adapter = C.llama_adapter_lora_init(self._model, str(path).encode()) if path.is_file() else None
        if not adapter:
            raise AdapterError(
                f"llama.cpp cannot load the adapter {path} on this base. Give a GGUF LoRA of it."
            )
        return adapter

    def free_adapter(self, adapter: Any) -> None:
        """Free an adapter that no context has in force."""
        C.llama_adapter_lora_free(adapter)

    def close(self) -> None:
        """Free the weights (and every adapter loaded on them)."""
        if self._model:
            C.llama_model_free(self._model)
            self._model = None


class Context:
    """A KV cache shared by all sequences (unified), and the calls that fill and read it.

    Unified, because then copying a sequence is a matter of metadata, and one sequence may use the whole
    context. Full-size cache for sliding-window layers too, because a pristine prefix must outlive its copies.
    """

    def __init__(self, model: Model, *, tokens: int, batch: int, threads: int, exact: bool) -> None:
        params = C.llama_context_default_params()
        self.sequences = int(min(256, C.llama_max_parallel_sequences()))
        params.n_ctx, params.n_batch, params.n_ubatch = tokens, batch, min(batch, 512)
        params.n_seq_max, params.kv_unified, params.swa_full = self.sequences, True, True
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        if exact:  # llama.cpp's flash attention sums in half precision below 64 tokens a batch, not above
            params.flash_attn_type, params.type_k, params.type_v = 0, 0, 0  # off; F32 keys and values
        with signals_after():
            self._ctx = C.llama_init_from_model(model._model, params)
        if not self._ctx:
            raise BackendError(f"llama.cpp cannot make a context of {tokens} tokens. Ask for fewer.")
        self._memory = C.llama_get_memory(self._ctx)
        self._batch = C.llama_batch_init(batch, 0, 1)
        self._vocabulary, self._dimensions = model.vocabulary, model.dimensions
        self.size: int = C.llama_n_ctx(self._ctx)
        self.batch = batch

    def decode(self, tokens: Sequence[Token]) -> None:
        """Push at most `batch` tokens through the model.

        Raises:
            BackendError: llama.cpp reports a failure; the cache is cleared, nothing half-done remains.
        """
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = token.id, token.position
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, token.sequence
            batch.logits[i] = token.output
        with signals_after():
            code = C.llama_decode(self._ctx, batch)
        if code != 0:
            self.clear()
            reason = {1: "no room in the KV cache", 2: "aborted", -1: "invalid batch"}.get(
                code, "fatal error"
            )
            raise BackendError(f"llama.cpp could not evaluate {len(tokens)} tokens: {reason} (code {code}).")

    def read(self, tokens: Sequence[int]) -> Row:
        """Evaluate a text as sequence 0, batch by batch; gives the logits behind its last token, as `logits`.

        Raises:
            BackendError: as `decode`.
        """
        last = len(tokens) - 1
        for begin in range(0, len(tokens), self.batch):
            part = tokens[begin : begin + self.batch]
            self.decode([Token(t, begin + i, 0, begin + i == last) for i, t in enumerate(part)])
        return self.logits(last % self.batch)

    def logits(self, index: int) -> Row:
        """The logits behind batch entry `index`: a view, valid until the next decode."""
        pointer = C.llama_get_logits_ith(self._ctx, index)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary,))

    def state(self, index: int) -> Row:
        """The last hidden state at batch entry `index`, copied."""
        pointer = C.llama_get_embeddings_ith(self._ctx, index)
        return np.ctypeslib.as_array(pointer, shape=(self._dimensions,)).copy()

    def copy(self, source: int, target: int) -> None:
        """Let sequence `target` share all of `source`."""
        C.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def drop(self, sequences: Iterable[int]) -> None:
        """Forget whole sequences."""
        for sequence in sequences:
            C.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def clear(self) -> None:
        """Forget everything: what is where, not the bytes, which takes milliseconds and changes no score."""
        C.llama_memory_clear(self._memory, False)

    def want_states(self, wanted: bool) -> None:
        """Switch between computing hidden states and logits only."""
        C.llama_set_embeddings(self._ctx, wanted)

    def set_adapter(self, adapter: Any | None) -> None:
        """Make `adapter` the only one in force, or none."""
        if adapter is None:
            code = C.llama_set_adapters_lora(self._ctx, None, 0, None)
        else:
            adapters = (C.llama_adapter_lora_p_ctypes * 1)(adapter)
            code = C.llama_set_adapters_lora(self._ctx, adapters, 1, (ctypes.c_float * 1)(1.0))
        if code != 0:
            raise AdapterError(f"llama.cpp refused to switch the adapter (code {code}).")

    def sample(self, sampler: Any) -> int:
        """The next token after the last output, by the sampler."""
        return int(C.llama_sampler_sample(sampler, self._ctx, -1))

    def close(self) -> None:
        """Free the cache."""
        if self._ctx:
            C.llama_batch_free(self._batch)
            C.llama_free(self._ctx)
            self._ctx = None


def free_sampler(sampler: Any) -> None:
    """Free a sampler chain."""
    C.llama_sampler_free(sampler)


def grammar_for(schema_json: str) -> str:
    """A GBNF grammar that admits exactly the JSON the schema admits."""
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    return str(json_schema_to_gbnf(schema_json))


FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7}


def requantize(source: Path, target: Path, *, kind: str, threads: int) -> None:
    """Write a copy of a GGUF file in another precision, one of `FILE_TYPES` (a second for a small model).

    Raises:
        BackendError: llama.cpp cannot write it.
    """
    params = C.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize, params.nthread = FILE_TYPES[kind], True, threads
    with signals_after():
        code = C.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    if code != 0:
        raise BackendError(f"llama.cpp cannot write {source} as {kind} into {target}.")
