"""What a prompt kind and a model kind are: their interfaces, and where they are found by name.

May import types and errors alone; a kind itself is a room of `ptsys.prompts` or `ptsys.models`.
"""
