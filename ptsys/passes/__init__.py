"""Compiled functions over a frozen model, many users' prompts and their rows.

It may import models, prompts, kinds, sharding and types; never the engine or jobs.
"""
