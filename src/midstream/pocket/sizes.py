"""How wide pocket models are: 128 unless another width is asked for, in heads of 32."""

from typing import Final

from midstream.errors import InputError

WIDTH: Final = 128
HEAD: Final = 32


def heads_of(width: int) -> int:
    """Heads of a model of that width.

    Raises:
        InputError: the width is not a multiple of 32, or below 128.
    """
    if width < WIDTH or width % HEAD:
        raise InputError(f"width is {width}; pocket models are 128 wide or wider, in multiples of {HEAD}")
    return width // HEAD
