"""How well a bundle's regions lie on what people outlined.

`outlines` reads a folder of outlined images, `ask` asks the program about each of them, `score`
measures the regions that it gave, `table` prints the result. `collection` makes such a folder's
table of this project's own images. Nothing here trains or changes a bundle.
"""
