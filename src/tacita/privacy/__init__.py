"""What in a text is a secret or personal, and what a policy does with it. Pure: text in, findings and text out."""
