"""What a schedule costs: the analytic ledger from configs alone, and the measured bench beside it."""
