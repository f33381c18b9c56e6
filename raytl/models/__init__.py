"""Backbones of timm and torchvision behind one interface: stages, freezing, rates, weights, and saved models.

backbone    build(config, classes) -> Backbone: the module, its stages bottom to top, head, preprocessing
stages      Stage, Layout, divide: assign every tensor and module to exactly one stage or the head
structure   stages by structure alone, for torchvision and for timm models without group_matcher
family      the interface of timm_family and torchvision_family (names, preprocessing, weights, layout)
weights     read state dicts from files, saved models and runs; load one into a module, or list the keys that do not match
pickled     read torch.save files without running code from them
state_dicts select the state dict of a file that matches a module, and strip its prefix
pruned      give a network the channels of a pruned saved model
freeze      freeze modules: no gradients, and evaluation mode even after train()
groups      learning rates by stage, and the optimizer's parameter groups
optimizer   AdamW and SGD from torch, all others from timm by name
card        the metadata of a saved model, as a value
saved_model the saved model: safetensors and JSON
forward     evaluation: device, precision, normalization, logits
"""
