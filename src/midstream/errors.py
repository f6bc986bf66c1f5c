"""Owns the one exception that means "the user can mend this". Knows nothing else."""


class InputError(ValueError):
    """Bad input, told in one sentence that names the value, the limit and the remedy.

    The command line prints it and exits with code 2; libraries catch it as a `ValueError`.
    """
