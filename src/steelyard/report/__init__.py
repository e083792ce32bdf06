"""Renders results: terminal, Markdown, JSON, HTML."""
