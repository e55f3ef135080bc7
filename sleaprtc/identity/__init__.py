"""Who is asking: id tokens, issued by the server itself or by any OpenID Connect issuer."""
