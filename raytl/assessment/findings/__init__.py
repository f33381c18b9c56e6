"""The sections of `raytl report` for tasks with findings: boxes, masks, labels, regions."""
