"""Who is calling: bearer credentials in, a principal with a token for the database out."""
