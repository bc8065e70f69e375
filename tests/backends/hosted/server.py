"""An OpenAI-compatible server whose model is a hash function, with the faults that servers are known for.

A token is a word with the blank before it. `logprob` is the model: what it says of a token after a text holds
for the next token, for an echo and for a chat alike.
"""

import gzip
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

MODEL = "hash-1"
LETTERS = [f" {chr(65 + i)}" for i in range(26)]
VOCABULARY = [*LETTERS, " Yes", " No", " nine", " ten", *(f" word{i}" for i in range(60))]
ANSWERS = {token.strip() for token in (*LETTERS, " Yes", " No")}
NUMBERED = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)


def tokens_of(text: str) -> list[str]:
    return re.findall(r"\n|[^\S\n]?[^\s]+|[^\S\n]", text)


def logprob(text: str, token: str) -> float:
    if text.endswith(" eight") and token == " nine":
        return -0.5
    digest = hashlib.sha256(f"{text}\0{token}".encode()).digest()
    dice = int.from_bytes(digest[:4], "big") / 2**32
    return -3.0 - 2 * dice if token.strip() in ANSWERS else -4.0 - 8 * dice


def likelihood(prompt: str, continuation: str) -> float:
    """What the model says of a whole continuation."""
    total, text = 0.0, prompt
    for token in tokens_of(prompt + continuation)[len(tokens_of(prompt)) :]:
        total += logprob(text, token)
        text += token
    return total


def best_first(prompt: str) -> list[int]:
    """The numbers of the listed candidates, titles late in the alphabet first."""
    return [int(n) for n, _ in sorted(NUMBERED.findall(prompt), key=lambda row: row[1], reverse=True)]


@dataclass
class Ways:
    """What the server gives, and how it gives it."""

    completions: bool = True
    logprobs: bool = True
    top: int = 20
    """A request for more is refused."""
    shape: str = "legacy"
    echo: str = "right"
    """`right`, `shifted` (off by one), `silent` (200 without), `refused`."""
    prompt_logprobs: bool = False
    chat: bool = True
    chat_top: int = 20
    schema: str = "json_schema"
    """What it keeps to; another form is refused. `ignored`: it takes any and keeps to none."""
    embeddings: bool = True
    tokenizer: bool = False
    thinks: str = ""
    """`always`, or `unless told` by chat_template_kwargs."""
    limit: str = "max_tokens"
    takes_temperature: bool = True
    refuses: bool = False
    answer: Callable[[str], str] | None = None
    """The text answered to a chat instead of the right one."""
    models: list[dict[str, Any]] = field(default_factory=lambda: [{"id": MODEL, "max_model_len": 512}])
    lora: list[dict[str, Any]] = field(default_factory=list)
    weights: str = ""
    """Others say other things to the same prompt; so does each adapter."""
    cached: int = 0
    usage: bool = True
    batches: bool = True
    batch_looks: int = 1
    """How often a batch is still under way when looked at."""
    batch_end: str = "completed"
    file_name: str = "file-"
    """What the names of its files begin with."""
    batch_extra: list[dict[str, Any]] = field(default_factory=list)
    """Lines that nobody asked for, at the end of what a batch answers."""
    batch_answers: int = 10**9
    """So many lines of a batch are answered."""
    remembers: bool = False
    """A call whose `Idempotency-Key` it has seen gets the answer it had, and the model is not run again."""
    headers: Callable[[int], dict[str, str]] = lambda number: {}
    """From the request's number to what its reply says besides."""
    fault: Callable[[int, str], Any] = lambda number, path: None
    """From the request's number (from 0) and path to a fault, or None: (status, headers, message), `cut`,
    `malformed`, `hang`, `gone` (not a byte in reply), `drip` (a blank now and then, for ever), `bomb`
    (a small reply that is large unpacked). A message may be a whole error object."""


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, ways: Ways) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ways = ways
        self.seen: list[tuple[str, bytes, dict[str, str]]] = []
        self.shelf = Shelf(ways)
        self.runs: list[bytes] = []
        """Bodies that the model was run on."""
        self.known: dict[str, Any] = {}
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        """A client that goes away is what some tests do."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def bodies(self, path: str = "") -> list[dict[str, Any]]:
        return [json.loads(body) for seen, body, _ in self.seen if body and seen.endswith(path)]

    def forget(self) -> None:
        self.seen.clear()


@contextmanager
def serving(ways: Ways | None = None) -> Iterator[Server]:
    server = Server(ways or Ways())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *arguments):
        """Silence."""

    def do_GET(self):
        self._answer(b"")

    def do_POST(self):
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, raw: bytes) -> None:
        server = self.server
        with server.lock:
            number = len(server.seen)
            server.seen.append((self.path, raw, dict(self.headers)))
            server.busy += 1
            server.most_busy = max(server.most_busy, server.busy)
        try:
            self._reply(number, raw)
        finally:
            with server.lock:
                server.busy -= 1

    def _reply(self, number: int, raw: bytes) -> None:
        fault = self.server.ways.fault(number, self.path)
        if isinstance(fault, tuple):
            status, headers, message = fault
            error = message if isinstance(message, dict) else {"message": message}
            return self._send(status, {"error": error}, headers)
        if fault == "hang":
            time.sleep(0.5)
        if fault in ("gone", "drip", "bomb"):
            return self._break(fault)
        try:
            if self.path.startswith(("/v1/files", "/v1/batches")):
                body = self.server.shelf.reply(self.path, raw)
                return self._write(200, body, {})
            reply = self._known_or_new(raw)
        except Refused as refused:
            return self._send(refused.status, {"error": {"message": str(refused)}}, {})
        body = json.dumps(reply).encode()
        if fault == "cut":
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{"
            )
            self.close_connection = True
            return None
        headers = self.server.ways.headers(number)
        return self._write(200, body[: len(body) // 2] if fault == "malformed" else body, headers)

    def _break(self, fault: str) -> None:
        self.close_connection = True
        if fault == "bomb":
            body = gzip.compress(b" " * (65 << 20) + b"{}")
            self._write(200, body, {"Content-Encoding": "gzip"})
        if fault == "drip":
            self._drip()

    def _drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        with suppress(OSError):  # until the client goes
            while True:
                self.wfile.write(b" ")
                time.sleep(0.02)

    def _known_or_new(self, raw: bytes) -> Any:
        server, name = self.server, self.headers.get("Idempotency-Key", "")
        with server.lock:
            if server.ways.remembers and name and name in server.known:
                return server.known[name]
            server.runs.append(raw)
            server.known[name] = Model(server.ways).reply(self.path, json.loads(raw) if raw else {})
            return server.known[name]

    def _send(self, status: int, value: Any, headers: dict[str, str]) -> None:
        self._write(status, json.dumps(value).encode(), headers)

    def _write(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {
            **headers,
            "Content-Type": "application/json",
            "Content-Length": len(body),
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)


class Shelf:
    """Files and batches, as OpenAI has them: a batch is answered when it has been looked at often enough."""

    def __init__(self, ways: Ways) -> None:
        self.ways = ways
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.looks: dict[str, int] = {}

    def reply(self, path: str, raw: bytes) -> bytes:
        if not self.ways.batches:
            raise Refused(404, "Not Found")
        parts = path.removeprefix("/v1/").partition("?")[0].split("/")
        if parts[0] == "files":
            return self.files[unquote(parts[1])] if len(parts) == 3 else self._file(raw)
        if raw:
            return json.dumps(self._batch(json.loads(raw))).encode()
        if len(parts) == 2:
            return json.dumps(self._look(parts[1])).encode()
        listed = list(self.batches.values())[::-1]
        return json.dumps({"object": "list", "data": listed, "has_more": False}).encode()

    def _file(self, raw: bytes) -> bytes:
        lines = [line for line in raw.split(b"\n") if line.startswith(b'{"custom_id"')]
        return json.dumps({"id": self._keep(lines), "object": "file", "purpose": "batch"}).encode()

    def _keep(self, lines: list[bytes]) -> str:
        name = f"{self.ways.file_name}{len(self.files)}"
        self.files[name] = b"\n".join(line.strip() for line in lines) + b"\n"
        return name

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = f"batch-{len(self.batches)}"
        self.looks[name] = 0
        self.batches[name] = {"id": name, "object": "batch", "status": "validating", **asked}
        return self.batches[name]

    def _look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        self.looks[name] += 1
        if self.looks[name] > self.ways.batch_looks:
            batch["status"] = self.ways.batch_end
            lines = self.files[batch["input_file_id"]].splitlines()[: self.ways.batch_answers]
            answers = [self._answer(json.loads(line)) for line in lines] + self.ways.batch_extra
            for place, good in (("output_file_id", True), ("error_file_id", False)):
                own = [
                    json.dumps(a).encode() for a in answers if (a["response"]["status_code"] == 200) == good
                ]
                batch[place] = self._keep(own[::-1]) if own else None
        return batch

    def _answer(self, line: dict[str, Any]) -> dict[str, Any]:
        try:
            status, body = 200, Model(self.ways).reply(line["url"], line["body"])
        except Refused as refused:
            status, body = refused.status, {"error": {"message": str(refused)}}
        return {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}}


class Model:
    def __init__(self, ways: Ways) -> None:
        self.ways = ways
        self.before = ""
        """What stands before every prompt of a completion, unseen: the weights and the adapters in force."""

    def reply(self, path: str, body: dict[str, Any]) -> Any:
        handlers = {
            "/v1/models": lambda body: {"object": "list", "data": self.ways.models},
            "/v1/completions": self.completion,
            "/v1/chat/completions": self.chat,
            "/v1/embeddings": self.embeddings,
            "/tokenize": self.tokenize,
            "/lora-adapters": lambda body: self.ways.lora,
        }
        if path not in handlers:
            raise Refused(404, "Not Found")
        return handlers[path](body)

    def tokenize(self, body):
        if not self.ways.tokenizer or "content" not in body:
            raise Refused(404, "Not Found")
        return {"tokens": list(range(len(tokens_of(body["content"]))))}

    def embeddings(self, body):
        if not self.ways.embeddings:
            raise Refused(501, "This server does not support embeddings.")
        rows = []
        for i, text in enumerate(body["input"]):
            digest = hashlib.sha256(text.encode()).digest()
            rows.append({"index": i, "embedding": [byte / 255 for byte in digest[:8]]})
        return {"data": rows[::-1], "usage": {"prompt_tokens": len(rows)}}

    def completion(self, body):
        if not self.ways.completions:
            raise Refused(404, "This is a chat model and not supported in the v1/completions endpoint.")
        on = [self.ways.lora[row["id"]]["path"] for row in body.get("lora", []) if row["scale"]]
        self.before = "".join([self.ways.weights, *on])
        prompt, count = body["prompt"], body.get("logprobs")
        size = len(tokens_of(prompt))
        context = self.ways.models[0].get("max_model_len", 10**9)
        if size > context:
            raise Refused(
                400,
                f"This model's maximum context length is {context} tokens. However, you "
                f"requested {size} tokens.",
            )
        if count is not None and count > self.ways.top:
            raise Refused(400, f"logprobs must be at most {self.ways.top}")
        choice: dict[str, Any] = {"text": " nine", "index": 0, "finish_reason": "length"}
        if body.get("echo"):
            choice |= self._echo(prompt)
        elif "prompt_logprobs" in body and self.ways.prompt_logprobs:
            choice["prompt_logprobs"] = self._prompt_logprobs(prompt)
        elif count and self.ways.logprobs:
            choice["logprobs"] = self._next(prompt, count)
        return self._with_usage({"choices": [choice]}, size, 1)

    def _with_usage(self, reply, sent, answered):
        if self.ways.usage:
            details = {"cached_tokens": self.ways.cached}
            reply["usage"] = {
                "prompt_tokens": sent, "completion_tokens": answered, "prompt_tokens_details": details
            }  # fmt: skip
        return reply

    def _values(self, prompt):
        tokens, text, values = tokens_of(prompt), "", []
        for token in tokens:
            values.append(logprob(self.before + text, token))
            text += token
        return tokens, values

    def _echo(self, prompt):
        if self.ways.echo == "refused":
            raise Refused(400, "echo is not supported")
        if self.ways.echo == "silent":
            return {"logprobs": None}
        tokens, values = self._values(prompt)
        if self.ways.echo == "shifted":
            ends = [sum(map(len, tokens[: i + 1])) for i in range(len(tokens))]
            values = [logprob(prompt[:end], token) for token, end in zip(tokens, ends, strict=True)]
        return {"logprobs": {"tokens": [*tokens, " x"], "token_logprobs": [None, *values[1:], -1.0]}}

    def _prompt_logprobs(self, prompt):
        tokens, values = self._values(prompt)
        rows = [
            {str(abs(hash(t))): {"logprob": v, "decoded_token": t}}
            for t, v in zip(tokens, values, strict=True)
        ]
        return [None, *rows[1:]]

    def _next(self, prompt, count):
        scored = sorted(((logprob(self.before + prompt, t), t) for t in VOCABULARY), reverse=True)[:count]
        if self.ways.shape == "legacy":
            return {"tokens": [scored[0][1]], "token_logprobs": [scored[0][0]],
                    "top_logprobs": [{t: v for v, t in scored}]}  # fmt: skip
        return {"content": [self._chat_entry(scored)]}

    def _chat_entry(self, scored):
        entries = [{"token": "?", "bytes": list(t.encode()), "logprob": v} for v, t in scored]
        return {**entries[0], "top_logprobs": entries}

    def chat(self, body):
        ways = self.ways
        if not ways.chat:
            raise Refused(404, "Not Found")
        if ways.limit not in body:
            raise Refused(400, f"Use {ways.limit!r} instead.")
        if "temperature" in body and not ways.takes_temperature:
            raise Refused(400, "Unsupported value: 'temperature'")
        prompt = body["messages"][-1]["content"]
        choice: dict[str, Any] = {"message": self._message(prompt, body), "finish_reason": "stop"}
        if body.get("logprobs") and ways.logprobs:
            if body["top_logprobs"] > ways.chat_top:
                raise Refused(400, f"top_logprobs must be at most {ways.chat_top}")
            scored = sorted(((logprob(prompt, t), t.strip()) for t in VOCABULARY), reverse=True)
            choice["logprobs"] = {"content": [self._chat_entry(scored[: body["top_logprobs"]])]}
        return self._with_usage({"choices": [choice]}, len(tokens_of(prompt)), 5)

    def _message(self, prompt, body):
        if self.ways.refuses and "Say hello" not in prompt:
            return {"content": None, "refusal": "I cannot help with that."}
        text = self._text(prompt, body)
        told = body.get("chat_template_kwargs") == {"enable_thinking": False}
        if self.ways.thinks == "always" or (self.ways.thinks and not told):
            text = f"<think>\nHm {{2, 1}}.\n</think>\n\n{text}"
        return {"role": "assistant", "content": text}

    def _text(self, prompt, body):
        if self.ways.answer and "Say hello" not in prompt:
            return self.ways.answer(prompt)
        form = body.get("response_format", {}).get("type", "")
        if (
            form
            and self.ways.schema not in (form, "ignored")
            and not form == self.ways.schema.removesuffix("_schema")
        ):
            raise Refused(400, f"response_format {form} is not supported")
        if "Say hello" in prompt:
            return self._hello(body.get("response_format", {}))
        return json.dumps({"ranking": best_first(prompt)})

    def _hello(self, asked):
        schema = asked.get("schema") or asked.get("json_schema", {}).get("schema")
        if schema and self.ways.schema not in ("ignored", "json_object"):
            return json.dumps({"number": schema["properties"]["number"]["enum"][0]})
        return (
            '{"say": "hello"}'
            if asked.get("type") == "json_object" and self.ways.schema != "ignored"
            else "hello"
        )
