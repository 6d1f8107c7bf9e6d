"""The store room: tables, their migrations, and content-addressed blobs.

The only room that knows SQL and the driver of a database. It may not know what rows mean.
"""
