"""Full-size bundles: SAM2-tiny and CLIP ViT-B from their public checkpoints.

`export` reads checkpoints with numpy and writes the ONNX graphs node by node, so it
needs no PyTorch and gives the same bytes every time. `parity` needs PyTorch, because
it holds every stage against the original. Nothing here runs on the device.
"""
