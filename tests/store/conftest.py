"""The databases that the store is tested on."""

from support.stores import address, clock, document_server_url, open_it

__all__ = ["address", "clock", "document_server_url", "open_it"]
