"""What a job or a run does: trainings of every kind, driven by one loop.

`Loop` drives courses (`single`, `multitask`, `augmentation`) on an engine; a `Listener` hears how
they go. Here it is also said what a prompt's record holds and what checkpoints belong to.

It may import the engine and what lies below it; nothing of jobs, workers, gin or HTTP.
"""
