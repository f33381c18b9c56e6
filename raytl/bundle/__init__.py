"""An exported model: a folder that runs without torch.

card    `model.json`: the schema of a bundle, and reading one
opening open a bundle from anywhere: its card and files are checked first
client  the program in every bundle: photos in, answers out; it needs numpy, Pillow and a runtime, and not raytl
"""
