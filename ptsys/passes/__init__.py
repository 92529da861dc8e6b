"""Compiled functions over a frozen model, many users' prompts and their rows."""
