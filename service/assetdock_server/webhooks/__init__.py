"""Signs and sends one webhook. Knows no queue and no database."""
