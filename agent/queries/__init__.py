"""Flux that is ready to run: the cookbook, how its parameters are filled in, what comes back."""

from agent.queries.recipe import (
    Parameter,
    Recipe,
    cookbook,
    nearest_names,
    parse_recipe,
    task_text,
)

__all__ = ["Parameter", "Recipe", "cookbook", "nearest_names", "parse_recipe", "task_text"]
