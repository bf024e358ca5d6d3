"""The few-shot experiment: how well a head does that was trained on few labelled images.
`python -m few_shot --help` says how; `scripts/fewshot` runs it. Needs no PyTorch.
"""
