"""Where bytes are kept: one small contract, `local` and `s3` behind it, and `sync` that pulls a prefix to this node."""
