"""Puts an existing vision-language model under another schedule for a while: `retrofit`, and what it is made of."""

from midstream.retrofitting.following import retrofit

__all__ = ["retrofit"]
