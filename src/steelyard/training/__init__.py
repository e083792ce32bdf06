"""Predicts training: layout, memory, step, run, quality."""
