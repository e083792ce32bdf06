"""Names of one region in the two tables that use it: codes and names of `grid` and `electricity`."""

from __future__ import annotations

from steelyard import catalog


@catalog.remembered
def region_names(region: str) -> frozenset[str]:
    """Return all names, folded, that mean the region: as asked, and codes and names of the rows that have
    it.
    """
    wanted = region.strip().casefold()
    pairs = [(row["region"], row["name"]) for row in catalog.table("grid").rows]
    pairs += [(row.get("code"), row["region"]) for row in catalog.table("electricity").rows]
    names = {wanted}
    for pair in pairs:
        folded = {name.casefold() for name in pair if name}
        if wanted in folded:
            names |= folded
    return frozenset(names)
