"""Antiphon: self-hosted voice agents."""
