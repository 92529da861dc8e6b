"""T5 1.0 and 1.1, the model kind `t5`: its network, formats, encoding of rows, losses and answers.

May import sharding, data and types, and what all model kinds share in `ptsys.models`.
"""
