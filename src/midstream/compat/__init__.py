"""Which of the decoder families in Transformers Midstream drives: tiny configs, checks, a run over all, a docs page."""
