"""Maps of the evidence for a class in an image: one file for each method, and `choice`, which selects a valid one.

    layer        the map at the top of the stages, through which every answer passes
    cam          Grad-CAM at that map
    attention    the attention of each block of a plain ViT
    rollout      attention rollout
    gradients    integrated gradients
    occlusion    the loss of score with a part of the image covered
    choice       the methods by name, and the default of a network

A method returns maps `(b, rows, columns)` over the network's own view of each image. Positive values support the class.
"""
