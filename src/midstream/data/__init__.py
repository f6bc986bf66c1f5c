"""Training and evaluation rows: formats on disk, features computed once, batches."""
