"""A slow, obvious scheduler: one step at a time, lists and loops, no arithmetic shortcuts.

The compiled event loop must give the same first and last token of every request.
"""

from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass
class Request:
    id: int
    arrival_s: float
    isl: int
    osl: int
    hashes: tuple = ()
    cached: int = 0  # prompt tokens that need no computing wherever it runs
    generated: int = 0
    filled: int = 0  # tokens in the KV cache while the prompt goes in
    target: int = 0
    held: int = 0  # prefix blocks held in the cache
    decoding: bool = False
    first_s: float | None = None
    end_s: float | None = None
    preemptions: int = 0

    @property
    def tokens(self):
        """Tokens in the KV cache."""
        return self.isl + self.generated - 1 if self.decoding else self.filled


@dataclass
class Engine:
    """One replica. `cost(sequences, prompt_tokens, mean_context, mean_attended)` is the time of a step."""

    cost: object
    token_budget: int
    max_sequences: int
    kv_blocks: int
    chunked: bool = True
    mixed: bool = True
    static: bool = False
    admission: str = "chunk"  # what must fit when a request starts: its next chunk, its prompt, prompt and answer
    block_tokens: int = 16
    hash_block_tokens: int = 16
    running: list = field(default_factory=list)  # in the order in which they started
    waiting: list = field(default_factory=list)
    padded: list = field(default_factory=list)  # contexts of a static batch's finished answers
    cache: OrderedDict = field(default_factory=OrderedDict)  # block -> holders; unused ones, oldest first, in front
    peak_blocks: int = 0
    steps: list = field(default_factory=list)  # (start, end, sequences, prompt tokens)

    def blocks(self, tokens):
        return -(-tokens // self.block_tokens)

    @property
    def entry_blocks(self):
        return self.hash_block_tokens // self.block_tokens

    def used(self):
        """Blocks that running requests hold."""
        private = sum(self.blocks(self.holds(one)) - one.held * self.entry_blocks for one in self.running)
        return private + self.entry_blocks * sum(holders > 0 for holders in self.cache.values())

    def holds(self, request):
        """Tokens that a running request has blocks for."""
        return request.isl + request.osl if self.admission == "answer" else request.tokens

    def trim(self):
        """Give up unused prefixes, oldest first, until everything fits."""
        while self.used() + self.entry_blocks * sum(holders == 0 for holders in self.cache.values()) > self.kv_blocks:
            del self.cache[next(block for block, holders in self.cache.items() if holders == 0)]

    def hold(self, block):
        self.cache[block] = self.cache.get(block, 0) + 1

    def release(self, request):
        for block in reversed(request.hashes[: request.held]):
            self.cache[block] -= 1
            if self.cache[block] == 0:
                self.cache.move_to_end(block)
        request.held = 0

    def preempt(self):
        request = self.running.pop()
        self.release(request)
        request.decoding = False
        request.filled = 0
        request.preemptions += 1
        self.waiting.insert(0, request)

    def decoders(self):
        return [one for one in self.running if one.decoding]

    def needed(self):
        """Blocks that one more token of every decoding sequence takes."""
        if self.admission == "answer":
            return 0
        return sum(one.tokens % self.block_tokens == 0 for one in self.decoders())

    def plan(self):
        """Return the chunks of the next step [(request, tokens)] and the sequences that decode in it."""
        preempted = False
        while self.used() + self.needed() > self.kv_blocks:
            self.preempt()
            preempted = True
        budget = self.token_budget
        if self.static:
            budget = 10**9
        elif self.mixed:
            budget -= len(self.decoders())
        chunks = []
        for request in [one for one in self.running if not one.decoding]:
            chunk = min(request.target - request.filled, budget)
            if chunk <= 0:
                continue
            more = self.blocks(request.filled + chunk) - self.blocks(request.filled)
            if self.admission == "answer":
                more = 0
            while request in self.running and self.used() + self.needed() + more > self.kv_blocks:
                self.preempt()
                preempted = True
            if request in self.running:
                chunks.append((request, chunk, request.filled))
                request.filled += chunk
                self.trim()
                budget -= chunk
        if not preempted:
            chunks += self.admit(budget, chunks)
        decoders = self.decoders() if self.mixed or not chunks else []
        return chunks, decoders

    def admit(self, budget, begun):
        chunks = []
        promised = self.needed()
        if self.static and (self.running or self.padded):
            return chunks
        while self.waiting and len(self.running) < self.max_sequences:
            request = self.waiting[0]
            request.target = request.isl + request.generated
            most = min((request.isl - 1) // self.hash_block_tokens, len(request.hashes))
            hit = 0
            while hit < most and request.hashes[hit] in self.cache:
                hit += 1
            ready = hit * self.hash_block_tokens if request.hashes else min(request.cached, request.target - 1)
            chunk = request.target - ready
            if chunk > budget and self.chunked and not self.static:
                chunk = budget
            elif chunk > budget and (begun or chunks):
                break
            if chunk <= 0:
                break
            whole = {"chunk": ready + chunk, "prompt": request.target, "answer": request.isl + request.osl}[
                "answer" if self.static else self.admission
            ]
            woken = sum(self.cache[block] == 0 for block in request.hashes[:hit])
            need = self.blocks(whole) - hit * self.entry_blocks + woken * self.entry_blocks
            if self.used() + promised + need > self.kv_blocks:
                break
            self.waiting.pop(0)
            for block in request.hashes[:hit]:
                self.hold(block)
            request.held = hit
            request.filled = ready + chunk
            self.running.append(request)
            self.trim()
            chunks.append((request, chunk, ready))
            budget -= chunk
            if self.static and self.admission != "answer":
                promised += self.blocks(whole) - self.blocks(ready + chunk)
        return chunks

    def step(self, now):
        """Run one step from `now`; return when it ends, and the requests that ended; None when there is no work."""
        chunks, decoders = self.plan()
        if not chunks and not decoders:
            return None, []
        prompt = sum(chunk for _, chunk, _ in chunks)
        attended = sum(chunk * (before + chunk / 2) for _, chunk, before in chunks) / prompt if prompt else 0.0
        contexts = [one.tokens for one in decoders] + (self.padded if decoders else [])
        sequences = len(contexts)
        mean = sum(contexts) / sequences if sequences else 0.0
        end = now + self.cost(sequences, prompt, mean, attended)
        self.steps.append((now, end, sequences, prompt))
        done = self.count_tokens(decoders) + self.end_prompts(chunks, end)
        for request in done:
            request.end_s = end
        if self.static and not self.decoders():
            self.padded = []
        return end, done

    def count_tokens(self, decoders):
        """Give every decoding sequence its token; return those that are done."""
        for request in decoders:
            request.generated += 1
        self.trim()
        self.peak_blocks = max(self.peak_blocks, self.used())
        done = [one for one in decoders if one.generated == one.osl]
        for request in done:
            if self.static:  # its place in the batch is padded until the last answer is done
                self.padded.append(request.tokens)
            self.leave(request)
        return done

    def end_prompts(self, chunks, end):
        """Give every prompt that is in its token and its blocks to the cache; return those that are done."""
        done = []
        for request in [one for one, _, _ in chunks if one.filled == one.target]:
            if request.generated == 0:
                request.first_s = end
            request.generated += 1
            whole = min(request.isl // self.hash_block_tokens, len(request.hashes))
            for block in request.hashes[request.held : whole]:
                self.hold(block)
            request.held = max(whole, request.held)
            request.decoding = True
            if request.generated == request.osl:
                self.leave(request)
                done.append(request)
        return done

    def leave(self, request):
        self.running.remove(request)
        self.release(request)


def simulate(engine, requests, *, concurrency=0):
    """Serve requests on one engine; with `concurrency`, so many users who each wait for their answer."""
    coming = sorted(requests, key=lambda one: (one.arrival_s, one.id))
    if concurrency:
        for request in coming[:concurrency]:
            request.arrival_s = 0.0
    now, started = 0.0, concurrency or len(coming)
    queue = coming[:started]
    while any(one.end_s is None for one in coming):
        while queue and queue[0].arrival_s <= now:
            engine.waiting.append(queue.pop(0))
        end, done = engine.step(now)
        if end is None:
            now = queue[0].arrival_s
            continue
        now = end
        for _ in done if concurrency else []:
            if started < len(coming):
                coming[started].arrival_s = now
                queue.append(coming[started])
                started += 1
    return requests
