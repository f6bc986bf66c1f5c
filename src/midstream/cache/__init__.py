"""Train from cache: what is constant in a row is computed once, kept on disk, and read back in every epoch."""
