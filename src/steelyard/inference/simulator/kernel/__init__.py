"""The compiled event loop. Nothing here is imported before a simulation starts: it needs Numba."""
