"""What `ptsys bench` runs: measurements of this machine, as ratios of things measured in turn.

It may import every room below the command line; it is told of progress and prints nothing but the
tables of its `main` functions. Nothing but `ptsys.cli` imports it.
"""
