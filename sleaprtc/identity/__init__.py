"""Identifies peers by id tokens, issued by the server itself or by any OpenID Connect issuer."""
