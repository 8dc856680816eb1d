"""The databases that the platform is run on."""

from support.stores import address, document_server_url

__all__ = ["address", "document_server_url"]
