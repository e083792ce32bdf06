"""From a model record or config.json to parameters and operators."""
