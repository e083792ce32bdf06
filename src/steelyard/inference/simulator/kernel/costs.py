"""Seconds and joules of a step, read from the table between its grid points."""

from __future__ import annotations

from steelyard.inference.simulator.kernel.compiled import inner


@inner
def cell(grid, size, hint, x):
    """Return the cell of a rising grid that holds x, starting to look at `hint`; beyond the ends, the last one."""
    place = hint
    while place > 0 and x < grid[place]:
        place -= 1
    while place < size - 2 and x >= grid[place + 1]:
        place += 1
    return place


@inner
def share(grid, place, x):
    return (x - grid[place]) / (grid[place + 1] - grid[place])


@inner
def decode_cost(role, grid, table, sequences, context):
    """Return seconds and joules of a step without prompts, and how both rise with the mean context."""
    n = cell(grid[0], role.grid_n, role.at_n, sequences)
    c = cell(grid[2], role.grid_c, role.at_c, context)
    role.at_n = n
    role.at_c = c
    u, v = share(grid[0], n, sequences), share(grid[2], c, context)
    width = grid[2, c + 1] - grid[2, c]
    low = (1.0 - u) * table[n, 0, c, 0, 0] + u * table[n + 1, 0, c, 0, 0]
    high = (1.0 - u) * table[n, 0, c + 1, 0, 0] + u * table[n + 1, 0, c + 1, 0, 0]
    joules = (1.0 - u) * table[n, 0, c, 0, 1] + u * table[n + 1, 0, c, 0, 1]
    more = (1.0 - u) * table[n, 0, c + 1, 0, 1] + u * table[n + 1, 0, c + 1, 0, 1]
    return low + v * (high - low), (high - low) / width, joules + v * (more - joules), (more - joules) / width


@inner
def room_in_cell(role, grid, context):
    """Return up to which mean context the rise of `decode_cost` holds."""
    c = cell(grid[2], role.grid_c, role.at_c, context)
    return grid[2, c + 1] if c < role.grid_c - 2 else 1e300


@inner
def step_cost(role, grid, table, sequences, tokens, context, attended):
    """Return seconds and joules of a step that decodes `sequences` and prefills `tokens`."""
    n = cell(grid[0], role.grid_n, role.at_n, sequences)
    p = cell(grid[1], role.grid_p, role.at_p, tokens)
    c = cell(grid[2], role.grid_c, role.at_c, context)
    a = cell(grid[3], role.grid_a, role.at_a, attended)
    role.at_n = n
    role.at_p = p
    role.at_c = c
    role.at_a = a
    u, v = share(grid[0], n, sequences), share(grid[1], p, tokens)
    w, x = share(grid[2], c, context), share(grid[3], a, attended)
    seconds = joules = 0.0
    for corner in range(16):  # one bit an axis
        i, j, k, m = corner & 1, (corner >> 1) & 1, (corner >> 2) & 1, corner >> 3
        weight = (u if i else 1.0 - u) * (v if j else 1.0 - v) * (w if k else 1.0 - w) * (x if m else 1.0 - x)
        seconds += weight * table[n + i, p + j, c + k, a + m, 0]
        joules += weight * table[n + i, p + j, c + k, a + m, 1]
    return seconds, joules
