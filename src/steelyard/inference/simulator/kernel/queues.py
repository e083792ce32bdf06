"""Priority queues of the event loop: finishes of a replica, requests on their way, the next of many keys."""

from __future__ import annotations

from steelyard.inference.simulator.kernel.compiled import inner

REQUEST_BITS = 24  # of a finish key; the step is above them
_REQUEST_MASK = (1 << REQUEST_BITS) - 1


@inner
def push(heap, size, key):
    """Add a key to a binary heap of `size` keys."""
    place = size
    while place > 0:
        parent = (place - 1) >> 1
        if heap[parent] <= key:
            break
        heap[place] = heap[parent]
        place = parent
    heap[place] = key


@inner
def pop(heap, size):
    """Remove the least key of a binary heap of `size` keys."""
    last = heap[size - 1]
    end = size - 1
    place = 0
    while True:
        child = 2 * place + 1
        if child >= end:
            break
        if child + 1 < end and heap[child + 1] < heap[child]:
            child += 1
        if last <= heap[child]:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = last


@inner
def finish_key(step, request):
    return (step << REQUEST_BITS) | request


@inner
def finish_step(key):
    return key >> REQUEST_BITS


@inner
def finish_request(key):
    return key & _REQUEST_MASK


@inner
def push_pair(keys, values, size, key, value):
    """Add a key with its value to a binary heap kept in two arrays."""
    place = size
    while place > 0:
        parent = (place - 1) >> 1
        if keys[parent] <= key:
            break
        keys[place] = keys[parent]
        values[place] = values[parent]
        place = parent
    keys[place] = key
    values[place] = value


@inner
def pop_pair(keys, values, size):
    """Remove the least key and its value from a binary heap kept in two arrays."""
    end = size - 1
    key, value = keys[end], values[end]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= end:
            break
        if child + 1 < end and keys[child + 1] < keys[child]:
            child += 1
        if key <= keys[child]:
            break
        keys[place] = keys[child]
        values[place] = values[child]
        place = child
    keys[place] = key
    values[place] = value


@inner
def set_key(keys, tree, leaf, key):
    """Change one key under a winner tree, whose root `tree[1]` is the place of the least key."""
    keys[leaf] = key
    node = (leaf + len(keys)) >> 1
    while node >= 1:
        left, right = tree[2 * node], tree[2 * node + 1]
        tree[node] = left if keys[left] <= keys[right] else right
        node >>= 1
