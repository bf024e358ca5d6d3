"""Which images there are, what is known of each, and on which side of the split it stands.

`python -m data build` reads the two image folders and writes `list.tsv`, which is committed;
whatever trains or measures reads that list and never decides on its own what is held back.
"""
