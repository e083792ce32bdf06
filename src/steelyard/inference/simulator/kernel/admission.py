"""Requests that wait start to run: what of a prompt is in the cache, what it takes, whether it fits."""

from __future__ import annotations

from steelyard.inference.simulator.kernel import prefixes
from steelyard.inference.simulator.kernel.compiled import inner
from steelyard.inference.simulator.kernel.layout import BY_ANSWER, BY_PROMPT, NONE
from steelyard.inference.simulator.kernel.pool import available, blocks_of, link_running, start_decoding, take


@inner
def prompt_room(replica, role):
    """Return the prompt tokens that a step takes beside the sequences that decode in it."""
    return role.token_budget - (replica.decoding if role.mixed else 0)


@inner
def admit(s, r, room, grow, begun):
    """Start waiting requests, first come first served, while there is room; return tokens and attended context."""
    replica = s.replicas[r]
    role = s.roles[replica.role]
    tokens, attended, reserved = 0, 0.0, grow
    if role.static and replica.decoding > 0:
        return tokens, attended
    while replica.wait_head != NONE and replica.running < role.max_sequences:
        q = replica.wait_head
        request = s.requests[q]
        request.target = request.isl + request.done
        hit = cached_blocks(s, r, q)
        ready = (
            hit * role.entry_blocks * role.block_tokens
            if request.hash_count
            else min(request.cached, request.target - 1)
        )
        if request.sent:
            ready = request.target
        chunk = request.target - ready
        if chunk > room - tokens:
            if role.chunked:
                chunk = room - tokens
            elif tokens + begun > 0:
                break
        if chunk <= 0 and not request.sent:
            break
        most = _must_fit(role, request, ready + chunk)
        need = blocks_of(most, role.block_tokens) - hit * role.entry_blocks
        if need + reserved > available(replica, role) - unused_hits(s, r, q, hit) * role.entry_blocks:
            break
        held = most if role.admission == BY_ANSWER else ready + chunk
        _start(s, r, q, hit, ready, chunk, held)
        tokens += chunk
        attended += chunk * (ready + 0.5 * chunk)
        # What must be left: the next token of one that decodes at once, all of a static batch.
        reserved += blocks_of(most, role.block_tokens) - blocks_of(held, role.block_tokens)
    return tokens, attended


@inner
def _must_fit(role, request, filled):
    """Return the tokens that there must be room for when a request starts and its cache holds `filled` of them."""
    if role.static or role.admission == BY_ANSWER:
        return request.isl + request.osl
    return (request.target if role.admission == BY_PROMPT else filled) + request.sent


@inner
def cached_blocks(s, r, q):
    """Return how many leading blocks of a prompt need no computing; its last token always does."""
    request = s.requests[q]
    if request.hash_count == 0 or request.sent:
        return 0
    role = s.roles[s.replicas[r].role]
    most = min((request.isl - 1) // (role.entry_blocks * role.block_tokens), request.hash_count)
    return prefixes.matched(s.slots[r], s.entry_hash[r], s.hashes, request.hash_start, most)


@inner
def unused_hits(s, r, q, hit):
    """Return how many of the hit blocks no running request holds: they stop being available."""
    unused = 0
    request = s.requests[q]
    for i in range(hit):
        entry = prefixes.find(s.slots[r], s.entry_hash[r], s.hashes[request.hash_start + i])
        unused += s.entry_refs[r, entry] == 0
    return unused


@inner
def _start(s, r, q, hit, ready, chunk, held):
    """Move the head of the queue into the batch with its first chunk, and blocks for `held` tokens."""
    replica, request, world = s.replicas[r], s.requests[q], s.world[0]
    role = s.roles[replica.role]
    replica.wait_head = request.next
    if replica.wait_head == NONE:
        replica.wait_tail = NONE
    replica.waiting -= 1
    if hit:
        prefixes.hold(
            replica, s.slots[r], s.entry_hash[r], s.entry_refs[r], s.entry_prev[r], s.entry_next[r],
            s.hashes, request.hash_start, hit,
        )  # fmt: skip
    request.entries = hit
    request.cached = ready if request.hash_count else request.cached
    take(s, r, blocks_of(held, role.block_tokens) - hit * role.entry_blocks)
    if not request.sent:  # what it had before and finds again is not computed again
        again = min(ready, request.filled)
        world.recomputed -= again
        world.reused += ready - again
    request.filled = ready
    request.chunk = chunk
    link_running(replica, s.requests, q)
    world.prefilled += chunk
    if request.preemptions == 0 and not request.sent:
        world.hit_blocks += hit
        world.asked_blocks += request.hash_count
    if request.sent:  # its cache came from another device: it decodes from the next step on
        request.sent = 0
        start_decoding(s, r, q, 1)
    elif replica.fresh == NONE:
        replica.fresh = q
