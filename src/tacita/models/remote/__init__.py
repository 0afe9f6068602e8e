"""Language models and embedders elsewhere, by URI. They get `Disclosed` values and contact the hosts that they name.

Needs the extra `tacita[models]`; its libraries are imported when a model is first called.
"""
