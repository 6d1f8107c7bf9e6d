"""The agent room: the loop of asking a model, using tools and going on.

It knows a model, a toolbox, a budget and the event words. It may not touch a provider, a database,
HTTP, the environment or a clock that was not given to it.
"""
