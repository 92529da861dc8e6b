"""Soft prompts: how they start, how they are checked, stored and exchanged.

It may import kinds, sharding, the store and types; models stand beside it.
"""
