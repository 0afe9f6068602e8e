"""From conversations to facts: prompt, answer, checks, reconciliation. Pure; the model is called elsewhere."""
