"""Trains the image encoder that shall hold in another hospital, in stages.

`python -m encoder STEP`; the steps, in order, are `views`, `teacher`, `targets`, `student`,
`figures`. Each leaves what it made under `--work` and begins where it was stopped. What is
trained on and what is held back says `scripts/data/list.tsv`, nothing else.
"""
