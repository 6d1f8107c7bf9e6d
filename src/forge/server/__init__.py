"""Forge over HTTP: the API, its streams and the console's files. The only room that knows FastAPI.

Routes parse, call one room below and answer; they decide nothing. Nothing here touches a database,
a model or a machine but through what `wiring` opened.
"""
