"""Object stores behind one small protocol (`contract`), and `sync`, which pulls a prefix to this node."""
