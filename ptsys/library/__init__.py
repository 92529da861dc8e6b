"""The prompt library: vectors, search and augmentation.

It may import the store, prompts, data and what lies below.
"""
