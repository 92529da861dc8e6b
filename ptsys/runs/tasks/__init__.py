"""What a run trains and scores on: folders of JSON lines, seqio's tasks, and mixtures of them."""
