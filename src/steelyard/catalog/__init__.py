"""Facts with provenance: loader, schema, search, checks."""
