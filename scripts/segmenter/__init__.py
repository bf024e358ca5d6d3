"""Trains the segmenter that follows its prompts, in stages.

`python -m segmenter STEP`; the steps, in order, are `outlines`, `train`, `figures`, `graphs`.
Each leaves what it made under `--work` and begins where it was stopped. What is trained on
and what is held back says `scripts/data/list.tsv`, nothing else.
"""
