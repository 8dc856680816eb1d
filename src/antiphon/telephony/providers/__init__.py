"""What differs between providers of telephone lines: how numbers are written, what goes into headers, where messages go."""

from .exotel import Exotel
from .generic import Generic
from .provider import Provider

PROVIDERS: dict[str, Provider] = {"generic": Generic(), "exotel": Exotel()}

__all__ = ["PROVIDERS", "Exotel", "Generic", "Provider"]
