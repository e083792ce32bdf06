"""Predicts serving: lengths, KV cache, steady state, fleet size."""
