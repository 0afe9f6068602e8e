"""The bundled demonstration: a conversation that we wrote, and the main job run on it."""
