"""Soft prompts: how they start, how they are checked, stored and exchanged."""
