"""Backbones of timm and torchvision behind one face: stages, freezing, rates, weights, and the saved bundle.

backbone    build(config, classes) -> Backbone: the module, its stages bottom to top, head, preprocessing
stages      Stage, Layout, divide: every tensor and every module in exactly one stage or the head
structure   stages by structure alone, for torchvision and for the timm models that do not say
family      what timm_family and torchvision_family each answer (names, preprocessing, weights, layout)
weights     state dicts from files, bundles and runs; fitting one on a module, or saying which keys do not fit
pickled     what torch.save wrote, read without running code from it
state_dicts which state dict of a file a module takes, without which prefix
freeze      frozen means frozen: no gradient, evaluation mode whatever train() is called
groups      each stage's rate, and the optimizer's parameter groups
optimizer   AdamW and SGD, timm's others by name
card        what is known of a saved model, as a value
bundle      the saved model: safetensors and JSON
forward     evaluation: device, precision, normalisation, logits
"""
