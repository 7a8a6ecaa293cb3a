"""Signs and sends one webhook. Independent of the queue and the database."""
