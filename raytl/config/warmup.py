"""The warmup section of the experiment file: self-supervised training of the stages that will learn, before training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.section import Section


class WarmupConfig(Section):
    """Contrastive training of the stages that transfer.unfreeze opens, before the head is started, on the labelled training images and those of data.unlabelled and adapt.target. It can harm: compare with none. Not to be confused with optim.warmup, which raises the learning rate."""

    method: Literal["none", "simclr", "supcon"] = "none"
    """simclr = the two views of an image are drawn together, and apart from those of all other images of the batch (Chen et al. 2020). supcon = so are the images of a class; an image without a label counts as a class of its own, as in simclr (Khosla et al. 2020; one class an image). The views are those of augment at strength 1."""
    epochs: Annotated[int, Field(ge=1)] = 20
    """Epochs over all these images."""
    batch_size: Annotated[int, Field(ge=2)] = 128
    """Images of the global batch, two views of each. An image is compared with all others of its batch, so the batch is never divided into micro-batches: lower it to save memory."""
    temperature: Annotated[float, Field(gt=0)] = 0.1
    """Temperature of the similarities: the lower, the more the images that look most alike count. 0.1 is best in both papers; 0.5 for small images and few epochs (Chen et al. 2020, table 5 and appendix B.9)."""
    lr: Annotated[float, Field(gt=0)] | None = None
    """Learning rate of the projection head, from which those of the stages follow by transfer.head_lr_ratio and transfer.lr_decay; AdamW with a cosine schedule. null = optim.lr if optim.name is adamw, whose weight decay and beta are taken too, else 1e-3 and the defaults of both."""
