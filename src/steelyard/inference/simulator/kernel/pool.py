"""KV blocks of a replica and the requests that hold them: taking, giving back, preemption."""

from __future__ import annotations

from steelyard.inference.simulator.kernel import prefixes
from steelyard.inference.simulator.kernel.compiled import inner, rare
from steelyard.inference.simulator.kernel.layout import BY_ANSWER, NONE
from steelyard.inference.simulator.kernel.queues import finish_key, finish_request, finish_step, push


@inner
def blocks_of(tokens, block_tokens):
    return (tokens + block_tokens - 1) // block_tokens


@inner
def available(replica, role):
    """Return the blocks that can be had: free ones, and those of unused prefixes."""
    return replica.free_blocks + replica.evictable * role.entry_blocks


@inner
def take(s, r, count):
    """Take blocks out of the pool; the caller has seen that they are there."""
    replica = s.replicas[r]
    while replica.free_blocks < count:
        prefixes.evict(replica, s.slots[r], s.entry_hash[r], s.entry_prev[r], s.entry_next[r])
        replica.free_blocks += s.roles[replica.role].entry_blocks
    replica.free_blocks -= count


@inner
def growth(residue, step, steps, block_tokens, alive):
    """Return the blocks that decoding sequences fill up in so many steps.

    A sequence needs one where its tokens are a multiple of the block; tokens and steps rise together, so the count by
    (tokens - step) mod block tells when, for all of them at once.
    """
    whole = steps // block_tokens
    need = whole * alive
    place = full_place(step, block_tokens)
    for _ in range(steps - whole * block_tokens):
        need += residue[place]
        place = place - 1 if place else block_tokens - 1
    return need


@inner
def full_place(step, block_tokens):
    """Return the residue of the sequences whose last block is full: tokens = 0, so (0 - step) mod block."""
    used = step % block_tokens
    return block_tokens - used if used else 0


@inner
def steps_within(residue, step, room, block_tokens, alive, most):
    """Return how many steps, up to `most`, the decoding sequences can grow into `room` blocks."""
    steps = min(room // alive * block_tokens, most)
    need = growth(residue, step, steps, block_tokens, alive)
    place = full_place(step + steps, block_tokens)
    while steps < most:
        need += residue[place]
        if need > room:
            break
        place = place - 1 if place else block_tokens - 1
        steps += 1
    return steps


@inner
def link_running(replica, requests, q):
    """Append a request to those that run."""
    request = requests[q]
    request.prev = replica.run_tail
    request.next = NONE
    if replica.run_tail == NONE:
        replica.run_head = q
    else:
        requests[replica.run_tail].next = q
    replica.run_tail = q
    replica.running += 1


@inner
def unlink_running(replica, requests, q):
    request = requests[q]
    if request.prev == NONE:
        replica.run_head = request.next
    else:
        requests[request.prev].next = request.next
    if request.next == NONE:
        replica.run_tail = request.prev
    else:
        requests[request.next].prev = request.prev
    replica.running -= 1


@inner
def start_decoding(s, r, q, generated):
    """Put a request with its first tokens among those that get one a step."""
    replica, request = s.replicas[r], s.requests[q]
    role = s.roles[replica.role]
    block_tokens = role.block_tokens
    request.finish = replica.step + request.osl - generated
    tokens = request.isl + generated - 1
    s.residues[r, (tokens - replica.step) % block_tokens] += role.admission != BY_ANSWER  # else all blocks are held
    replica.context += tokens
    replica.decoding += 1
    replica.alive += 1
    if replica.heap_size == s.heaps.shape[1]:
        _sweep(s, r)
    push(s.heaps[r], replica.heap_size, finish_key(request.finish, q))
    replica.heap_size += 1


@rare
def _sweep(s, r):
    """Drop the keys of preempted requests from the heap of finishes."""
    replica, heap = s.replicas[r], s.heaps[r]
    kept = 0
    for i in range(replica.heap_size):
        key = heap[i]
        request = s.requests[finish_request(key)]
        if request.finish == finish_step(key) and request.replica == r:
            push(heap, kept, key)
            kept += 1
    replica.heap_size = kept


@inner
def stop_decoding(s, r, q):
    """Take a request out of those that decode; return how many tokens it has generated."""
    replica, request = s.replicas[r], s.requests[q]
    role = s.roles[replica.role]
    generated = request.osl - (request.finish - replica.step)
    tokens = request.isl + generated - 1
    s.residues[r, (tokens - replica.step) % role.block_tokens] -= role.admission != BY_ANSWER
    replica.alive -= 1
    request.finish = NONE
    if not role.static:
        replica.context -= tokens
        replica.decoding -= 1
    elif replica.alive == 0:  # the places of a static batch are free once its last answer is done
        replica.context = 0.0
        replica.decoding = 0
    return generated


@inner
def give_back(s, r, q, tokens):
    """Return the blocks of a request that holds `tokens` to the pool, its prefix to the cache."""
    replica, request = s.replicas[r], s.requests[q]
    role = s.roles[replica.role]
    if role.admission == BY_ANSWER:
        tokens = request.isl + request.osl
    replica.free_blocks += blocks_of(tokens, role.block_tokens) - request.entries * role.entry_blocks
    if request.entries:
        prefixes.release(
            replica, s.slots[r], s.entry_hash[r], s.entry_refs[r], s.entry_prev[r], s.entry_next[r],
            s.hashes, request.hash_start, request.entries,
        )  # fmt: skip
        request.entries = 0


@rare
def keep_prefix(s, r, q, entry_tokens):
    """Leave the whole blocks of a computed prompt in the prefix cache."""
    replica, request = s.replicas[r], s.requests[q]
    role = s.roles[replica.role]
    whole = min(request.isl // entry_tokens, request.hash_count)
    for i in range(request.entries, whole):
        value = s.hashes[request.hash_start + i]
        entry = prefixes.find(s.slots[r], s.entry_hash[r], value)
        if entry == NONE:
            prefixes.add(replica, s.slots[r], s.entry_hash[r], s.entry_refs[r], s.entry_next[r], value)
        else:  # another request was quicker: one copy stays
            prefixes.hold(
                replica, s.slots[r], s.entry_hash[r], s.entry_refs[r], s.entry_prev[r], s.entry_next[r],
                s.hashes, request.hash_start + i, 1,
            )  # fmt: skip
            replica.free_blocks += role.entry_blocks
    request.entries = max(whole, request.entries)


@rare
def preempt_last(s, r, now):
    """Put the request that started last back to the head of the queue; its cache is computed again later."""
    replica = s.replicas[r]
    q = replica.run_tail
    request = s.requests[q]
    if q == replica.partial:
        give_back(s, r, q, request.filled)
        replica.partial = NONE
    else:
        request.done = stop_decoding(s, r, q)
        request.filled = request.isl + request.done
        request.last = now
        give_back(s, r, q, request.filled - 1)  # the last token has no cache yet
    s.world[0].recomputed += request.filled  # but for what it finds again
    unlink_running(replica, s.requests, q)
    request.preemptions += 1
    s.world[0].preemptions += 1
    request.next = replica.wait_head
    replica.wait_head = q
    if replica.wait_tail == NONE:
        replica.wait_tail = q
    replica.waiting += 1
