"""The databases that calls are kept in."""

from support.stores import address, clock, document_server_url, open_it

__all__ = ["address", "clock", "document_server_url", "open_it"]
