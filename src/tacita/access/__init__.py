"""Who may do what, and the record of who did. Below every surface, denying by default."""
