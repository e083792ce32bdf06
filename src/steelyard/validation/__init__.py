"""Predictions held against published measurements: error tables, simple baselines, and the fit of the corrections.

Every kind of measurement (`training`, `inference`, `operators`) is a room of its own that turns published rows into
`Point`s and `Refusal`s and predicts the points from named `Parameter`s; `folds` leaves families out, `errors` makes the
table.
"""
