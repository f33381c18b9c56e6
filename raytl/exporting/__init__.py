"""A trained model as a bundle: the graph, the proof that it answers as the model does, and smaller and faster variants."""
