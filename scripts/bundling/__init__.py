"""What the scripts of every bundle share: exams, text prompts, int8 weights, focus
styles, the method in Python, known answers and the manifest. Needs no PyTorch.
"""
